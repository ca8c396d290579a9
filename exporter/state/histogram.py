"""A mutable histogram; snapshots contain its immutable form.

Native buckets are those of Prometheus' native histograms: bucket i of schema s ends at
2 ** (i / 2 ** s), so schema 4 has sixteen buckets from a number to its double, each ending 4.4 %
above the one before. A bucket without observations takes no memory. Two buckets of a schema are one
bucket of the schema below, so a histogram that has too many becomes half as fine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil, log2
from typing import Final

from exporter.state.snapshots import Exemplar, Histogram, NativeBuckets

SCHEMA: Final = 4
MAX_NATIVE_BUCKETS: Final = 160
ZERO_THRESHOLD: Final = 2.0**-20
"""Durations up to this many seconds, a microsecond, count as 0."""
_ZERO_THRESHOLD_MS: Final = ZERO_THRESHOLD * 1000
_RECENT_SECONDS: Final = 60.0
"""How long an exemplar stays if the jobs after it are faster."""
_MAX_EXEMPLAR_BYTES: Final = 100
"""OpenMetrics allows 128 characters for an exemplar's labels."""
_UNSUITABLE: Final = str.maketrans("", "", '"\\\ufffd')
_PER_OCTAVE: Final = 2**SCHEMA


_ZERO: Final = -(1 << 20)
"""In place of the index of a native bucket, for a duration that counts as 0."""


def _index(ms: float) -> int:
    """The native bucket of a duration, in the finest schema."""
    return ceil(log2(ms / 1000) * _PER_OCTAVE) if ms > _ZERO_THRESHOLD_MS else _ZERO


_INDEXES: Final[Mapping[float, int]] = {ms: _index(ms) for ms in range(4096)}
"""Of durations that are common: most jobs wait and run for less, in whole milliseconds."""


class Buckets:
    """Counts of durations by upper bound, in native buckets, or in both.

    Durations are only collected until a snapshot is wanted, which counts them all at once.
    """

    __slots__ = (
        "_bounds",
        "_bounds_ms",
        "_counts",
        "_exemplar",
        "_frozen",
        "_keeps_native",
        "_native",
        "_new",
        "_shift",
        "_slow_at",
        "_slow_job",
        "_slow_ms",
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
        self._keeps_native = native
        self._native: dict[int, int] = {}
        """Counts by native bucket; snapshots share it, so it is replaced."""
        self._shift = 0
        """By how much the schema was lowered."""
        self._new: list[float] = []
        """Durations since the last snapshot, in ms."""
        self._slow_ms, self._slow_job, self._slow_at = 0.0, b"", 0
        """The slowest job since the last snapshot, and its time in Unix ms."""
        self._exemplar: Exemplar | None = None
        self._frozen: Histogram | None = None

    def observe(self, ms: float, job: bytes = b"", at: int = 0) -> None:
        """Add a duration in milliseconds; less than 0, if the clock went backwards, counts as 0.

        `job` is the ID of the job, and `at` the time in Unix ms, if it may be an exemplar.
        """
        if ms < 0:
            ms = 0
        self._new.append(ms)
        if ms >= self._slow_ms:
            self._slow_ms, self._slow_job, self._slow_at = ms, job, at

    def frozen(self) -> Histogram:
        """The current state with cumulative counts; the same object until the next observation."""
        if self._new or self._frozen is None:
            self._count()
            *counts, total = accumulate(self._counts)
            native = None
            if self._keeps_native:
                native = NativeBuckets(SCHEMA - self._shift, self._zeros, self._native)
            self._frozen = Histogram(
                self._bounds, tuple(counts), self._sum / 1000, total, native, self._exemplar
            )
        return self._frozen

    def _count(self) -> None:
        """Count the new durations."""
        new, counts, bounds = self._new, self._counts, self._bounds_ms
        for ms in new:
            counts[bisect_left(bounds, ms)] += 1
        self._sum += sum(new)
        if self._keeps_native and new:
            self._count_native(new)
        if self._slow_job:
            self._choose_exemplar()
        self._new = []

    def _count_native(self, new: Sequence[float]) -> None:
        known = _INDEXES.get
        indexes = [known(ms) or _index(ms) for ms in new]
        if _ZERO in indexes:
            self._zeros += indexes.count(_ZERO)
            indexes = [index for index in indexes if index != _ZERO]
        if self._shift:
            indexes = [_coarser(index, self._shift) for index in indexes]
        native = self._native.copy()
        for index in indexes:
            native[index] = native.get(index, 0) + 1
        while len(native) > MAX_NATIVE_BUCKETS:
            self._shift += 1
            native = _half_as_many(native)
        self._native = native

    def _choose_exemplar(self) -> None:
        """Take the slowest job since the last snapshot, unless a recent one was slower."""
        seconds, at = self._slow_ms / 1000, self._slow_at / 1000
        last = self._exemplar
        if last is None or seconds >= last.seconds or at - last.time >= _RECENT_SECONDS:
            job = _shown(self._slow_job)
            if job is not None:
                self._exemplar = Exemplar(job, seconds, at)
        self._slow_ms, self._slow_job = 0.0, b""


def _half_as_many(native: Mapping[int, int]) -> dict[int, int]:
    """The same counts in the schema below."""
    coarse: dict[int, int] = {}
    for index, count in native.items():
        place = _coarser(index, 1)
        coarse[place] = coarse.get(place, 0) + count
    return coarse


def _shown(job: bytes) -> str | None:
    """The ID as a label of an exemplar; None if it is too long for one, or no plain text.

    Prometheus' Python parser cannot read an exemplar with an escaped quote.
    """
    if len(job) > _MAX_EXEMPLAR_BYTES:
        return None
    text = job.decode("utf-8", "replace")
    return text if text.isprintable() and text.translate(_UNSUITABLE) == text else None


def _coarser(index: int, shift: int) -> int:
    """The bucket that contains this one in the schema that is lower by `shift`."""
    return -(-index >> shift)
