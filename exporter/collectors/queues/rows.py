"""What is known of a batch's rows in the course of one poll."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Final

from exporter.collectors.queues.plan import Batch
from exporter.connection import Reply
from exporter.numerals import finite

Column = list[int | float | None]

_ASKED: Final = ("rate_limit_remaining_seconds", "rate_limited", "worker_alive", "active_locked")


class Rows:
    """Counts, columns and the rows with news, all by row."""

    def __init__(self, batch: Batch, now: float, now_ms: float, counts: list[list[Reply]]) -> None:
        size = len(batch.queues)
        self.batch = batch
        self.kept = batch.kept
        self.all = range(size)
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
        self.ready = [
            bool(a or b or c)
            for a, b, c in zip(self.wait, self.paused, self.prioritized, strict=True)
        ]
        """Whether there is work that a worker could take, markers counted."""
        self.empty: list[int] = []
        """Rows without any job."""
        self.waiting_news: set[int] = set()
        """Rows whose waiting jobs are others than before, or may be."""
        self.active_news: set[int] = set()
        """Rows whose active jobs are."""
        self.new_bands: set[int] = set()
        """Rows whose priorities are others than before."""
        self.asked_lives: list[int] = []
        """Rows whose workers are asked about at this poll."""
        self.limited: list[int] = []
        """Rows in a rate limit window."""

    def where(self, flags: Iterable[object]) -> list[int]:
        """The rows for which something holds."""
        return list(compress(self.all, flags))


def added(a: Column, b: Column) -> Column:
    """The sums; None where either is."""
    return [None if x is None or y is None else x + y for x, y in zip(a, b, strict=True)]


def firsts_of(replies: Sequence[Reply] | None) -> list[tuple[bytes, float]]:
    """The first job of each priority with its score; without those whose score has no end."""
    found = [(job, finite(score)) for job, score in replies or ()]
    return [(job, score) for job, score in found if score is not None]
