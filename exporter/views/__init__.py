"""What the status page, the JSON endpoints and the command line show of the queues."""
