"""The families with a sample for every queue, written a column at a time.

Labels are escaped and joined once for each set of queues; a poll then fills one template a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter import metrics
from exporter.bullmq import STATES, Queue
from exporter.exposition.text import escape, labels, number
from exporter.metrics import Family
from exporter.snapshot import QueueTable, WorkerFacts

# family, column of the table, labels behind the queue's
_COLUMNS: Final = (
    *((metrics.QUEUE_JOBS, state, f',state="{state}"') for state in STATES),
    (metrics.QUEUE_PAUSED, "paused", ""),
    (metrics.QUEUE_OLDEST_WAITING, "oldest_waiting_seconds", ""),
    (metrics.QUEUE_OLDEST_ACTIVE, "oldest_active_seconds", ""),
    (metrics.QUEUE_DELAYED_OVERDUE_JOBS, "delayed_overdue_jobs", ""),
    (metrics.QUEUE_DELAYED_OVERDUE_SECONDS, "delayed_overdue_seconds", ""),
    (metrics.QUEUE_SCHEDULERS, "schedulers", ""),
    (metrics.QUEUE_SCHEDULERS_OVERDUE, "schedulers_overdue", ""),
    (metrics.QUEUE_SCHEDULERS_OVERDUE_SECONDS, "schedulers_overdue_seconds", ""),
    (metrics.QUEUE_CONCURRENCY_LIMIT, "concurrency_limit", ""),
    (metrics.QUEUE_RATE_LIMIT_REMAINING, "rate_limit_remaining_seconds", ""),
    (metrics.QUEUE_EVENTS_STREAM_LENGTH, "events_stream_length", ""),
)


@dataclass(slots=True)
class _Layout:
    """What stays the same while the set of queues does."""

    queues: tuple[Queue, ...]
    labels: list[str]
    templates: dict[tuple[str, str], str] = field(default_factory=dict)
    info: tuple[tuple[str, ...], str] = ((), "")
    """The versions last written, and the lines of `bullmq_queue_info` for them."""


class QueueWriter:
    """Writes one connection's queues; keeps the layout from page to page."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._layout = _Layout((), [])

    def lines(self, table: QueueTable, workers: WorkerFacts | None) -> Iterator[tuple[Family, str]]:
        """Each family with its lines; a family may come more than once, in order."""
        if table.queues is not self._layout.queues:
            self._layout = _Layout(
                table.queues, [self._queue_labels(queue) for queue in table.queues]
            )
        for family, column, extra in _COLUMNS:
            values = table.columns.get(column, ())
            if text := self._column(family, extra, values):
                yield family, text
        if workers is not None:
            counts = [workers.of(queue).total for queue in table.queues]
            yield metrics.QUEUE_WORKERS, self._column(metrics.QUEUE_WORKERS, "", counts)
        if table.queues:
            yield metrics.QUEUE_INFO, self._info(table.versions)

    def _queue_labels(self, queue: Queue) -> str:
        values = (self._connection, queue.prefix, queue.name)
        return labels(metrics.QUEUE_JOBS.labels[:3], values)

    def _column(self, family: Family, extra: str, values: Sequence[int | float | None]) -> str:
        missing = values.count(None)
        if missing == len(values):
            return ""
        if missing:
            return "".join(
                f"{family.name}{{{queue}{extra}}} {number(value)}\n"
                for queue, value in zip(self._layout.labels, values, strict=True)
                if value is not None
            )
        return self._template(family, extra) % tuple(values)

    def _template(self, family: Family, extra: str) -> str:
        key = (family.name, extra)
        template = self._layout.templates.get(key)
        if template is None:
            template = "".join(
                f"{family.name}{{{queue}{extra}}} ".replace("%", "%%") + "%s\n"
                for queue in self._layout.labels
            )
            self._layout.templates[key] = template
        return template

    def _info(self, versions: tuple[str, ...]) -> str:
        if versions != self._layout.info[0]:
            name = metrics.QUEUE_INFO.name
            text = "".join(
                f'{name}{{{queue},library_version="{escape(version)}"}} 1\n'
                for queue, version in zip(self._layout.labels, versions, strict=True)
            )
            self._layout.info = (versions, text)
        return self._layout.info[1]
