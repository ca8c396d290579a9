"""The families that are present only while a queue is blocked."""

from __future__ import annotations

from collections.abc import Iterator

from exporter import metrics
from exporter.diagnosis import Diagnosis
from exporter.exposition.samples import Single
from exporter.metrics import Family


def diagnosis_samples(diagnosis: Diagnosis) -> Iterator[tuple[Family, Single]]:
    """A sample per blocked queue and per isolation; none if no queue is blocked."""
    for (connection, queue), reason in diagnosis.blocked.items():
        values = (connection, queue.prefix, queue.name, str(reason))
        yield metrics.QUEUE_BLOCKED, Single(metrics.QUEUE_BLOCKED, values, 1)
    for isolation in diagnosis.isolations:
        values = (isolation.prefix, isolation.queue, isolation.producer, isolation.worker)
        yield metrics.WORKER_ISOLATION, Single(metrics.WORKER_ISOLATION, values, 1)
