"""The families with a sample for every queue, written a column at a time.

Labels are escaped and joined once for each set of queues; a poll then fills one template for each
column that has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from exporter import metrics
from exporter.bullmq import STATES, Queue
from exporter.exposition.column import Column, doubled
from exporter.exposition.gzip import Piece, piece_of
from exporter.exposition.text import escape, labels
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


class _Layout:
    """What stays the same while the set of queues does."""

    def __init__(self, connection: str, queues: tuple[Queue, ...]) -> None:
        self.queues = queues
        names = metrics.QUEUE_JOBS.labels[:3]
        self.labels = [labels(names, (connection, queue.prefix, queue.name)) for queue in queues]
        rows = doubled(self.labels)
        self.columns = [
            (family, column, Column(family, extra, rows)) for family, column, extra in _COLUMNS
        ]
        self.workers = Column(metrics.QUEUE_WORKERS, "", rows)
        self.rows = {queue: row for row, queue in enumerate(queues)}
        self.versions: tuple[str, ...] = ()
        self.info: Piece | None = None
        """The lines of `bullmq_queue_info` for these versions."""


class QueueWriter:
    """Writes one connection's queues; keeps the layout, and what is as it was, between pages."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._layout = _Layout(connection, ())

    def lines(
        self, queues: tuple[Queue, ...], table: QueueTable | None, workers: WorkerFacts | None
    ) -> Iterator[tuple[Family, Piece | None]]:
        """Each family of what is known, with its lines; a family may come more than once, in order.

        `table`, where there is one, is of these queues.
        """
        if queues is not self._layout.queues:
            self._layout = _Layout(self._connection, queues)
        layout = self._layout
        if workers is not None:
            yield metrics.QUEUE_WORKERS, layout.workers.lines(_totals(workers, layout.rows))
        if table is None:
            return
        for family, name, column in layout.columns:
            yield family, column.lines(table.columns.get(name, ()))
        if queues:
            yield metrics.QUEUE_INFO, self._info(table.versions)

    def _info(self, versions: tuple[str, ...]) -> Piece | None:
        layout = self._layout
        if versions != layout.versions:
            name = metrics.QUEUE_INFO.name
            lines = [
                f'{name}{{{queue},library_version="{escape(version)}"}} 1\n'
                for queue, version in zip(layout.labels, versions, strict=True)
            ]
            text = "".join(lines).encode("utf-8", "replace")
            layout.versions, layout.info = versions, piece_of(text)
        return layout.info


def _totals(workers: WorkerFacts, rows: Mapping[Queue, int]) -> list[int]:
    totals = [0] * len(rows)
    for queue, count in workers.counts.items():
        if queue in rows:
            totals[rows[queue]] = count.total
    return totals
