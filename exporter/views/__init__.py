"""The queues as people look at them: as data, in an order, as text."""
