"""What is known of a batch in the course of one poll."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING

from exporter.bullmq import Queue
from exporter.collectors.queues.rotation import Rotation
from exporter.connection import Reply

if TYPE_CHECKING:
    from exporter.collectors.queues.subject import Count


class BatchPoll:
    """The counts, and all state that subjects share within a poll; everything is by row."""

    def __init__(
        self,
        queues: Sequence[Queue],
        counts: Mapping[Count, list[Reply]],
        rotation: Rotation,
        now: float,
        now_ms: float,
    ) -> None:
        self.queues = queues
        self.rows = range(len(queues))
        self.counts = counts
        """The replies to each count. The subject that finds wake-up markers takes them off here,
        in the second round trip; until then they are counted."""
        self.rotation = rotation
        self.now = now
        """Monotonic time, in seconds."""
        self.now_ms = now_ms
        """The server's clock, in milliseconds since 1970."""
        self.ready = _any_of([c for count, c in counts.items() if count.ready], len(queues))
        """Whether there is work that a worker could take; markers are taken off as above."""
        proofs = _any_of([c for count, c in counts.items() if count.proves_existence], len(queues))
        self.unproven = [row for row, proven in enumerate(proofs) if not proven]
        """Rows that no count shows to exist."""
        self.exists = [True] * len(queues)
        """Whether the queue is shown; cleared by the subject that asks about `unproven` rows."""
        self.moved: set[int] = set()
        """Rows whose work may have moved: a subject saw other jobs or totals than at the last
        poll."""

    def recount_ready(self, row: int) -> None:
        """Bring `ready` up to date after counts of the row were corrected."""
        self.ready[row] = any(c[row] for count, c in self.counts.items() if count.ready)

    def where(self, flags: Iterable[object]) -> list[int]:
        """The rows whose flag is true."""
        return list(compress(self.rows, flags))


def _any_of(columns: Sequence[Sequence[Reply]], size: int) -> list[bool]:
    if not columns:
        return [False] * size
    return list(map(any, zip(*columns, strict=True)))
