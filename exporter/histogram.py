"""A histogram that grows; its frozen form goes into snapshots."""

from __future__ import annotations

from bisect import bisect_left

from exporter.snapshot import Histogram


class Buckets:
    """Observations in seconds, by upper bound."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Add one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def frozen(self) -> Histogram:
        """As it is now, counts cumulative."""
        total, counts = 0, []
        for count in self._counts:
            total += count
            counts.append(total)
        return Histogram(self._bounds, tuple(counts[:-1]), self._sum, total)
