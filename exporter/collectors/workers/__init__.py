"""The workers of all queues of a database, from one CLIENT LIST."""

from exporter.collectors.workers.collector import CLIENT_LIST, WorkersCollector, maximum_by_queue
from exporter.collectors.workers.count import count_workers
from exporter.collectors.workers.names import WorkerNames

__all__ = [
    "CLIENT_LIST",
    "WorkerNames",
    "WorkersCollector",
    "count_workers",
    "maximum_by_queue",
]
