"""Histograms in all formats."""

from __future__ import annotations

from functools import lru_cache

from exporter.exposition.protobuf import double, message, timestamp, varint
from exporter.exposition.text import number
from exporter.state.snapshots import Histogram

_LABELS = "\0"
"""Placeholder for the labels in a template. They are filled in last, since they may contain %."""


def histogram_lines(name: str, label_text: str, histogram: Histogram) -> str:
    """All lines of a histogram with these labels."""
    counts, total = histogram.counts, histogram.count
    text = _template(name, histogram.bounds) % (*counts, total, number(histogram.sum), total)
    return text.replace(_LABELS, label_text)


@lru_cache(maxsize=64)
def _template(name: str, bounds: tuple[float, ...]) -> str:
    """The template of a histogram's lines."""
    lines = [
        f'{name}_bucket{{{_LABELS},le="{bound}"}} %s\n'
        for bound in [*map(str, map(float, bounds)), "+Inf"]
    ]
    return "".join([*lines, f"{name}_sum{{{_LABELS}}} %s\n", f"{name}_count{{{_LABELS}}} %d\n"])


def histogram_message(histogram: Histogram, created: float | None) -> bytes:
    """The Histogram message; `created` is the Unix time since when it counts, if that is known.

    Its fields: sample_count 1, sample_sum 2, bucket 3 (repeated, with cumulative_count 1 and
    upper_bound 2), created_timestamp 15. The bucket of all observations is implied.
    """
    fields = [b"\x08", varint(histogram.count), b"\x11", double(histogram.sum)]
    for count, bound in zip(histogram.counts, _bounds(histogram.bounds), strict=True):
        content = b"\x08" + varint(count) + bound
        fields += (b"\x1a", varint(len(content)), content)
    if created is not None:
        fields.append(message(b"\x7a", timestamp(created)))
    return b"".join(fields)


@lru_cache(maxsize=64)
def _bounds(bounds: tuple[float, ...]) -> tuple[bytes, ...]:
    return tuple(b"\x11" + double(bound) for bound in bounds)
