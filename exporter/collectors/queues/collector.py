"""The collector: reads the queues in batches into one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, compress
from typing import Any

from exporter.bullmq import Queue
from exporter.collectors.contract import Context, Scope
from exporter.collectors.queues.arithmetic import known_sums, sums
from exporter.collectors.queues.batches import QueueBatch, make_batches
from exporter.collectors.queues.looks import LookBudget
from exporter.collectors.queues.phases import Columns, read_batch
from exporter.collectors.queues.rotation import Rotation
from exporter.collectors.queues.states import UNFINISHED
from exporter.collectors.queues.subjects import COLUMNS
from exporter.collectors.queues.subjects.active import OLDEST_ACTIVE
from exporter.collectors.queues.subjects.events_stream import EVENTS_STREAM_LENGTH
from exporter.collectors.queues.subjects.finished import COMPLETED, FAILED
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED
from exporter.collectors.queues.subjects.scheduled import DELAYED_OVERDUE_SECONDS
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING, WAITING
from exporter.state.kept import KeptColumns
from exporter.state.queue_table import Column, QueueTable


class QueueCollector:
    """Reads every watched queue."""

    name = "queues"
    scope = Scope.DATABASE

    def __init__(self, poll_interval: float, stuck_jobs_share: float) -> None:
        """`stuck_jobs_share` is the share of Redis' time that looks at stuck jobs may take."""
        self._rotation = Rotation(poll_interval)
        self._looks = LookBudget(stuck_jobs_share, poll_interval)
        self._queues: tuple[Queue, ...] = ()
        self._batches: list[QueueBatch] = []
        self._exists: list[bool] = []
        self._shown: tuple[Queue, ...] = ()
        self._reading_since = 0.0

    def collect(self, context: Context) -> QueueTable:
        """The table of all existing queues. Raises `RedisFailure`."""
        known = self._batches
        if context.reading_since != self._reading_since:
            # since when work is ready, or has not moved, is unknown for the time in between
            self._reading_since, known = context.reading_since, []
        if context.queues is not self._queues or known is not self._batches:
            self._queues, self._exists, self._shown = context.queues, [], ()
            self._batches = make_batches(context.queues, known)
        self._rotation.advance()
        self._looks.begin_poll(context.now)
        with self._forget_if_aborted():
            # whole milliseconds, like the times of jobs, for shorter ages
            now_ms = float(int(context.server_time_ms())) if self._batches else 0.0
            batches = self._read(context, now_ms)
        exists = list(chain.from_iterable(flags for flags, _ in batches))
        if exists != self._exists:
            self._exists, self._shown = exists, tuple(compress(self._queues, exists))
        self._note_unfinished(context, [columns for _, columns in batches], now_ms)
        columns = self._table([columns for _, columns in batches])
        self._note_oldest(context, columns)
        parts = columns[WAITING], columns[PRIORITIZED]
        ready, at_least = sums(*parts), known_sums(*parts)
        kept = KeptColumns(columns[COMPLETED], columns[FAILED])
        return QueueTable(self._shown, columns, ready, at_least, kept, self._looks.totals)

    def _read(self, context: Context, now_ms: float) -> list[tuple[list[bool], Columns]]:
        """Read all batches; another one comes first at each poll, as looks have a budget."""
        first = self._rotation.start(len(self._batches))
        read = [
            read_batch(batch, context, self._rotation, self._looks, now_ms)
            for batch in (*self._batches[first:], *self._batches[:first])
        ]
        return read[len(read) - first :] + read[: len(read) - first]

    @contextmanager
    def _forget_if_aborted(self) -> Iterator[None]:
        """If the poll is aborted, make every reply count as changed: see `ReplyCache`."""
        try:
            yield
        except Exception:
            for batch in self._batches:
                batch.forget_replies()
            raise

    def _note_unfinished(
        self, context: Context, batches: Sequence[Columns], after_ms: float
    ) -> None:
        """Note how many jobs are unfinished, for the audit."""

        def joined(column: Column[int]) -> list[int | None]:
            return list(chain.from_iterable([columns[column] for columns in batches]))

        jobs = joined(UNFINISHED[0])
        for column in UNFINISHED[1:]:
            jobs = sums(jobs, joined(column))
        known = context.unfinished
        known.queues, known.jobs, known.after_ms = self._queues, jobs, after_ms
        known.events = joined(EVENTS_STREAM_LENGTH)

    def _note_oldest(self, context: Context, columns: Columns) -> None:
        """Note the ages of the oldest jobs, for the SLOs."""
        known = context.oldest
        known.at, known.queues = context.now, self._shown
        known.waiting, known.active = columns[OLDEST_WAITING], columns[OLDEST_ACTIVE]
        known.overdue = columns[DELAYED_OVERDUE_SECONDS]

    def _table(self, batches: Sequence[Columns]) -> Columns:
        """The columns of all batches joined, without queues that do not exist."""
        hidden = not all(self._exists)
        table: Columns = {}
        for column in COLUMNS:
            values: list[Any] = []
            for columns in batches:  # lists are joined five times faster than by iterating
                values += columns[column]
            table[column] = list(compress(values, self._exists)) if hidden else values
        return table
