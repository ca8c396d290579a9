"""A mutable histogram; snapshots contain its immutable form.

Native buckets are those of Prometheus' native histograms: bucket i of schema s ends at
2 ** (i / 2 ** s), so schema 4 has sixteen buckets from a number to its double, each ending 4.4 %
above the one before. A bucket without observations takes no memory. Two buckets of a schema are one
bucket of the schema below, so a histogram that has too many becomes half as fine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from math import ceil, log2
from typing import Final

from exporter.state.snapshots import Histogram, NativeBuckets

SCHEMA: Final = 4
MAX_NATIVE_BUCKETS: Final = 160
ZERO_THRESHOLD: Final = 2.0**-20
"""Durations up to this many seconds, a microsecond, count as 0."""
_ZERO_THRESHOLD_MS: Final = ZERO_THRESHOLD * 1000
_PER_OCTAVE: Final = 2**SCHEMA


def _index(ms: float) -> int:
    """The native bucket of a duration above the zero threshold, in the finest schema."""
    return ceil(log2(ms / 1000) * _PER_OCTAVE)


_INDEXES: Final[Mapping[float, int]] = {ms: _index(ms) for ms in range(1, 4096)}
"""Of durations that are common: most jobs wait and run for less, in whole milliseconds."""


class Buckets:
    """Counts of durations by upper bound, in native buckets, or in both."""

    __slots__ = (
        "_bounds",
        "_bounds_ms",
        "_counts",
        "_frozen",
        "_native",
        "_shift",
        "_sum",
        "_zeros",
    )

    def __init__(self, bounds: tuple[float, ...], *, native: bool = False) -> None:
        """`bounds` are in seconds; without any, all observations are counted together."""
        self._bounds = bounds
        self._bounds_ms = tuple(round(bound * 1000, 9) for bound in bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._zeros = 0
        self._native: dict[int, int] | None = {} if native else None
        self._shift = 0
        """By how much the schema was lowered."""
        self._frozen: Histogram | None = None

    def observe(self, ms: float) -> None:
        """Add a duration in milliseconds; less than 0, if the clock went backwards, counts as 0."""
        if ms < 0:
            ms = 0
        self._counts[bisect_left(self._bounds_ms, ms)] += 1
        self._sum += ms
        if self._frozen is not None:
            self._thaw()
        native = self._native
        if native is None:
            return
        index = _INDEXES.get(ms)
        if index is None:
            if ms <= _ZERO_THRESHOLD_MS:
                self._zeros += 1
                return
            index = _index(ms)
        if self._shift:
            index = _coarser(index, self._shift)
        try:
            native[index] += 1
        except KeyError:
            self._add_bucket(native, index)

    def frozen(self) -> Histogram:
        """The current state with cumulative counts; the same object until the next observation."""
        if self._frozen is None:
            *counts, total = accumulate(self._counts)
            native = self._native
            buckets = None
            if native is not None:
                buckets = NativeBuckets(SCHEMA - self._shift, self._zeros, native)
            self._frozen = Histogram(self._bounds, tuple(counts), self._sum / 1000, total, buckets)
        return self._frozen

    def _thaw(self) -> None:
        """Leave the native buckets to the snapshot, and go on with a copy."""
        self._frozen = None
        if self._native is not None:
            self._native = self._native.copy()

    def _add_bucket(self, native: dict[int, int], index: int) -> None:
        """Count a bucket's first observation; halve the resolution if buckets become too many."""
        native[index] = 1
        while len(native) > MAX_NATIVE_BUCKETS:
            self._shift += 1
            coarse: dict[int, int] = {}
            for fine, count in native.items():
                place = _coarser(fine, 1)
                coarse[place] = coarse.get(place, 0) + count
            native = self._native = coarse


def _coarser(index: int, shift: int) -> int:
    """The bucket that contains this one in the schema that is lower by `shift`."""
    return -(-index >> shift)
