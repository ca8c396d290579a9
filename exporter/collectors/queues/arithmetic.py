"""Computes columns from columns. Pure; None means unknown."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.collectors.queues.poll import BatchPoll

Numbers = Sequence[int | float | None]


def sums(a: Sequence[int | None], b: Sequence[int | None]) -> list[int | None]:
    """The sum of each row; None if either value is."""
    return [None if x is None or y is None else x + y for x, y in zip(a, b, strict=True)]


def known_sums(a: Sequence[int | None], b: Sequence[int | None]) -> list[int]:
    """The sum of the known values of each row."""
    return [(x or 0) + (y or 0) for x, y in zip(a, b, strict=True)]


def ages(poll: BatchPoll, counts: Numbers, since_ms: Numbers) -> list[float | None]:
    """Seconds from `since_ms` (the server's clock) to the poll; 0 if the count is 0."""
    now_ms = poll.now_ms
    return [
        0
        if count == 0
        else None
        if since is None
        else (now_ms - since) / 1000
        if since < now_ms
        else 0.0
        for count, since in zip(counts, since_ms, strict=True)
    ]
