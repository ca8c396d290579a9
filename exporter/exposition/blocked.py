"""The families that exist only while something is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from exporter import metrics
from exporter.diagnosis import Diagnosis
from exporter.exposition.text import labels, sample
from exporter.metrics import Family


def diagnosis_lines(diagnosis: Diagnosis) -> Iterator[tuple[Family, str]]:
    """Blocked queues and isolations; nothing where all is well."""
    for (connection, queue), reason in diagnosis.blocked.items():
        values = (connection, queue.prefix, queue.name, str(reason))
        yield _line(metrics.QUEUE_BLOCKED, values)
    for found in diagnosis.isolations:
        values = (found.prefix, found.queue, found.producer, found.worker)
        yield _line(metrics.WORKER_ISOLATION, values)


def _line(family: Family, values: tuple[str, ...]) -> tuple[Family, str]:
    return family, sample(family.name, labels(family.labels, values), 1)
