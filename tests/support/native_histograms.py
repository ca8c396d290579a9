"""Reads native histograms as Prometheus does."""

from __future__ import annotations

from typing import Any


def native_counts(histogram: Any) -> dict[int, int]:
    """Number of observations in each bucket that has any, by its index."""
    deltas = iter(histogram.positive_delta)
    found: dict[int, int] = {}
    index = count = 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            if count:
                found[index] = count
            index += 1
    assert not list(deltas)
    return found


def quantile(q: float, histogram: Any) -> float:
    """The quantile, interpolated exponentially in its bucket."""
    rank = q * histogram.sample_count
    seen = histogram.zero_count
    if rank <= seen:
        return 0.0
    for index, count in sorted(native_counts(histogram).items()):
        if seen + count >= rank:
            place = index - 1 + (rank - seen) / count
            return float(2 ** (place / 2**histogram.schema))
        seen += count
    raise AssertionError("fewer observations than counted")
