"""The collector: batches in, one table out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context, Scope
from exporter.collectors.queues.plan import Batch, Memory, make_batches
from exporter.collectors.queues.reading import read_batch
from exporter.collectors.queues.rows import Column, Rows
from exporter.snapshot import QueueTable

SETTINGS_SECONDS: Final = 60.0
"""How old settings may get. Each poll reads its share of the queues, so there is no peak."""


class QueueCollector:
    """Reads every watched queue."""

    name = "queues"
    scope = Scope.DATABASE

    def __init__(self, poll_interval: float) -> None:
        self._turns = max(1, round(SETTINGS_SECONDS / poll_interval))
        self._turn = 0
        self._queues: tuple[Queue, ...] = ()
        self._batches: list[Batch] = []
        self._mask: list[bool] = []
        self._shown: tuple[Queue, ...] = ()

    def collect(self, context: Context) -> QueueTable:
        """The table of the queues that exist, one consistent set of rows in all columns."""
        if context.queues is not self._queues:
            self._plan(context.queues)
        self._turn = (self._turn + 1) % self._turns
        now_ms = context.server_time_ms() if self._batches else 0.0
        readings = [read_batch(batch, context, self._due(batch), now_ms) for batch in self._batches]
        mask = list(chain.from_iterable(reading.exists for reading in readings))
        if mask != self._mask:
            self._mask, self._shown = mask, tuple(compress(self._queues, mask))
        return QueueTable(self._shown, self._columns(readings), self._versions())

    def _plan(self, queues: tuple[Queue, ...]) -> None:
        known: dict[Queue, Memory] = {}
        for batch in self._batches:
            known.update(zip(batch.queues, batch.memories, strict=True))
        self._queues, self._mask = queues, []
        self._batches = make_batches(queues, known)

    def _due(self, batch: Batch) -> list[int]:
        """The rows whose settings are read at this poll."""
        return [
            row
            for row, memory in enumerate(batch.memories)
            if memory.settings is None or row % self._turns == self._turn
        ]

    def _columns(self, readings: Sequence[Rows]) -> dict[str, Column]:
        names = readings[0].columns if readings else ()
        hidden = not all(self._mask)
        columns = {}
        for name in names:
            column = list(chain.from_iterable(reading.columns[name] for reading in readings))
            columns[name] = list(compress(column, self._mask)) if hidden else column
        return columns

    def _versions(self) -> tuple[str, ...]:
        memories = chain.from_iterable(batch.memories for batch in self._batches)
        return tuple(
            memory.settings.version if memory.settings else ""
            for memory in compress(memories, self._mask)
        )
