"""The shared state of one poll of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING

from exporter.bullmq import Queue
from exporter.collectors.queues.rotation import Rotation
from exporter.connection import Reply
from exporter.state.event_times import EventTimes

if TYPE_CHECKING:
    from exporter.collectors.queues.looks import LookBudget
    from exporter.collectors.queues.subject import Count


class BatchPoll:
    """The counts, and all state that subjects share within a poll, indexed by row."""

    def __init__(
        self,
        queues: Sequence[Queue],
        counts: Mapping[Count, list[Reply]],
        rotation: Rotation,
        now: float,
        now_ms: float,
        times: EventTimes,
        looks: LookBudget,
    ) -> None:
        self.queues = queues
        self.rows = range(len(queues))
        self.counts = counts
        """The replies to each count. They include wake-up markers until the subject `Markers`
        subtracts them, in the second round trip."""
        self.rotation = rotation
        self.now = now
        """Monotonic time, in seconds."""
        self.now_ms = now_ms
        """Unix time by the server's clock, in milliseconds."""
        self.times = times
        """What the event streams have shown up to the last poll."""
        self.looks = looks
        """How many looks at jobs that may be stuck this poll can afford."""
        self.ready = _any_of([c for count, c in counts.items() if count.ready], len(queues))
        """Whether there are jobs that a worker could start; updated when markers are subtracted."""
        proofs = _any_of([c for count, c in counts.items() if count.proves_existence], len(queues))
        self.unproven = [row for row, proven in enumerate(proofs) if not proven]
        """Rows whose existence no count proves."""
        self.exists = [True] * len(queues)
        """Whether the queue exists; cleared by the subject that checks `unproven` rows."""
        self.oversized_versions = 0
        """Number of library versions that were cut."""
        self.moved: set[int] = set()
        """Rows whose work may have moved: a subject saw other jobs or numbers than at the last
        poll."""
        self.restarted: set[int] = set()
        """Rows whose work has moved, though the jobs are the same: one was started again."""

    def recount_ready(self, row: int) -> None:
        """Update `ready` after counts of the row were corrected."""
        self.ready[row] = any(c[row] for count, c in self.counts.items() if count.ready)

    def where(self, flags: Iterable[object]) -> list[int]:
        """The rows whose flag is true."""
        return list(compress(self.rows, flags))


def _any_of(columns: Sequence[Sequence[Reply]], size: int) -> list[bool]:
    if not columns:
        return [False] * size
    return list(map(any, zip(*columns, strict=True)))
