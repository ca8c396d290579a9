"""The collector: batches in, one table out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, compress

from exporter.bullmq import Queue
from exporter.collectors.contract import Context, Scope
from exporter.collectors.queues.plan import Batch, make_batches
from exporter.collectors.queues.reading import read_batch
from exporter.collectors.queues.rows import Column, Rows
from exporter.collectors.queues.turns import Turns
from exporter.snapshot import QueueTable


class QueueCollector:
    """Reads every watched queue."""

    name = "queues"
    scope = Scope.DATABASE

    def __init__(self, poll_interval: float) -> None:
        self._turns = Turns(poll_interval)
        self._queues: tuple[Queue, ...] = ()
        self._batches: list[Batch] = []
        self._mask: list[bool] = []
        self._shown: tuple[Queue, ...] = ()

    def collect(self, context: Context) -> QueueTable:
        """The table of the queues that exist, one consistent set of rows in all columns."""
        if context.queues is not self._queues:
            self._queues, self._mask = context.queues, []
            self._batches = make_batches(context.queues, self._batches)
        self._turns.advance()
        with self._nothing_half_read():
            # whole, as the times of jobs are: ages are shorter to write then
            now_ms = float(int(context.server_time_ms())) if self._batches else 0.0
            readings = [read_batch(batch, context, self._turns, now_ms) for batch in self._batches]
        mask = list(chain.from_iterable(reading.exists for reading in readings))
        if mask != self._mask:
            self._mask, self._shown = mask, tuple(compress(self._queues, mask))
        return QueueTable(self._shown, self._columns(readings), self._versions())

    @contextmanager
    def _nothing_half_read(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            for batch in self._batches:
                batch.kept.forget_replies()
            raise

    def _columns(self, readings: Sequence[Rows]) -> dict[str, Column]:
        names = readings[0].columns if readings else ()
        hidden = not all(self._mask)
        columns = {}
        for name in names:
            column = list(chain.from_iterable([reading.columns[name] for reading in readings]))
            columns[name] = list(compress(column, self._mask)) if hidden else column
        return columns

    def _versions(self) -> tuple[str, ...]:
        versions = chain.from_iterable(batch.kept.versions for batch in self._batches)
        return tuple([version or "" for version in compress(versions, self._mask)])
