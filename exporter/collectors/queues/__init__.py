"""The queues: jobs by state, how late they are, settings, and whether they move.

A round trip reads the counts of a batch of queues, with commands that were packed when the set of
queues last changed. A second one asks what those counts leave open, and a third the times of the
jobs that the second has named; a queue where nothing is open costs neither.
"""

from exporter.collectors.queues.collector import QueueCollector

__all__ = ["QueueCollector"]
