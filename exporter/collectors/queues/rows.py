"""What is known of a batch's rows in the course of one poll."""

from __future__ import annotations

from typing import Final

from exporter.collectors.queues.plan import Batch, Progress
from exporter.connection import Reply, pack

Column = list[int | float | None]

_ASKED: Final = (
    "rate_limit_remaining_seconds",
    "rate_limited",
    "worker_alive",
    "active_locked",
    "oldest_waiting_seconds",
    "oldest_active_seconds",
    "delayed_overdue_jobs",
    "delayed_overdue_seconds",
    "schedulers_overdue",
    "schedulers_overdue_seconds",
)


class Rows:
    """Counts, columns and the jobs that were named, all by row."""

    def __init__(self, batch: Batch, now: float, now_ms: float, counts: list[list[Reply]]) -> None:
        size = len(batch.queues)
        self.batch = batch
        self.now = now
        """Monotonic time."""
        self.now_ms = now_ms
        """The server's clock."""
        self.counts = counts
        """A column for each of `bullmq.COUNTS`."""
        self.wait, self.paused, self.active, self.prioritized, self.delayed = counts[:5]
        self.exists = [True] * size
        self.columns: dict[str, Column] = {name: [None] * size for name in _ASKED}
        self.columns["has_id"] = [1] * size
        ready = zip(self.wait, self.paused, self.prioritized, strict=True)
        self.ready = {row for row, counts in enumerate(ready) if any(counts)}
        """Rows with work that a worker could take, markers counted."""
        self.waiting: dict[int, tuple[bytes, ...]] = dict.fromkeys(self.ready, ())
        """Waiting jobs to look at."""
        self.oldest_active: dict[int, bytes] = {}
        self.limited: list[int] = []
        """Rows in a rate limit window."""
        self._progress: dict[int, Progress] = {}

    def progress_of(self, row: int) -> Progress:
        """What is seen of the row's movement at this poll."""
        progress = self._progress.get(row)
        if progress is None:
            progress = self._progress[row] = Progress()
        return progress

    def key(self, row: int, suffix: bytes) -> bytes:
        """A key of the row's queue."""
        return self.batch.queues[row].key + suffix

    def command(self, command: str, row: int, suffix: bytes, *more: str | int) -> bytes:
        """A packed command on such a key."""
        return pack(command, self.batch.queues[row].key + suffix, *more)
