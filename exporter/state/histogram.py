"""A mutable histogram; snapshots contain its immutable form."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from exporter.state.snapshots import Histogram


class Buckets:
    """Counts of observations in seconds, by upper bound."""

    __slots__ = ("_bounds", "_counts", "_frozen", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._frozen: Histogram | None = None

    def observe(self, seconds: float) -> None:
        """Add an observation."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds
        self._frozen = None

    def frozen(self) -> Histogram:
        """The current state with cumulative counts; the same object until the next observation."""
        if self._frozen is None:
            *counts, total = accumulate(self._counts)
            self._frozen = Histogram(self._bounds, tuple(counts), self._sum, total)
        return self._frozen
