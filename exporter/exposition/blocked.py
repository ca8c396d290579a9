"""The families that are present only while a queue is blocked."""

from __future__ import annotations

from collections.abc import Iterator

from exporter import metrics
from exporter.diagnosis import Diagnosis
from exporter.exposition.text import labels, sample
from exporter.metrics import Family


def diagnosis_lines(diagnosis: Diagnosis) -> Iterator[tuple[Family, str]]:
    """A line per blocked queue and per isolation; none if no queue is blocked."""
    for (connection, queue), reason in diagnosis.blocked.items():
        values = (connection, queue.prefix, queue.name, str(reason))
        yield _line(metrics.QUEUE_BLOCKED, values)
    for isolation in diagnosis.isolations:
        values = (isolation.prefix, isolation.queue, isolation.producer, isolation.worker)
        yield _line(metrics.WORKER_ISOLATION, values)


def _line(family: Family, values: tuple[str, ...]) -> tuple[Family, str]:
    return family, sample(family.name, labels(family.labels, values), 1)
