"""Histograms in all formats."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from itertools import chain
from typing import Final

from exporter.exposition.formats import Format
from exporter.exposition.protobuf import (
    double,
    exact_timestamp,
    message,
    signed,
    timestamp,
    varint,
)
from exporter.exposition.text import number
from exporter.state.histogram import ZERO_THRESHOLD
from exporter.state.snapshots import Exemplar, Histogram, NativeBuckets

_MAX_GAP: Final = 2
_JOB_ID: Final = "job_id"
_JOB_ID_FIELD: Final = message(b"\x0a", _JOB_ID.encode())
_LABELS: Final = "\0"
"""Placeholder for the labels in a template. They are filled in last, since they may contain %."""


def histogram_lines(name: str, label_text: str, histogram: Histogram, form: Format) -> str:
    """All lines of a histogram with these labels, in a text format."""
    total = histogram.count
    if not total:  # as those of outcomes that a queue's jobs never had
        return _empty_lines(name, histogram.bounds).replace(_LABELS, label_text)
    counts: list[object] = [*histogram.counts, total]
    exemplar = histogram.exemplar
    if exemplar is not None and form is Format.OPENMETRICS:
        bucket = bisect_left(histogram.bounds, exemplar.seconds)
        counts[bucket] = f"{counts[bucket]} {_exemplar_text(exemplar)}"
    text = _template(name, histogram.bounds) % (*counts, number(histogram.sum), total)
    return text.replace(_LABELS, label_text)


@lru_cache(maxsize=64)
def _empty_lines(name: str, bounds: tuple[float, ...]) -> str:
    """The lines of a histogram without observations."""
    return _template(name, bounds) % (*[0] * (len(bounds) + 1), "0", 0)


def _exemplar_text(exemplar: Exemplar) -> str:
    """As in OpenMetrics, after the value of a bucket."""
    label = f'{_JOB_ID}="{exemplar.job_id}"'
    return f"# {{{label}}} {number(exemplar.seconds)} {exemplar.time:.3f}"


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

    Its fields: sample_count 1, sample_sum 2, bucket 3 (repeated, with cumulative_count 1,
    upper_bound 2 and exemplar 3), those of `_native_fields`, created_timestamp 15, exemplars 16.
    The bucket of all observations is implied. Prometheus looks for exemplars in the buckets, too.
    """
    fields = [b"\x08", varint(histogram.count), b"\x11", double(histogram.sum)]
    counts, bounds = histogram.counts, _bounds(histogram.bounds)
    fields += chain.from_iterable(zip(map(_bucket_head, counts), bounds, strict=True))
    exemplar = histogram.exemplar
    if exemplar is not None:
        place = bisect_left(histogram.bounds, exemplar.seconds)
        if not bounds:
            fields.append(message(b"\x82\x01", _exemplar(exemplar)))
        else:
            count, bound = (*counts, histogram.count)[place], (*bounds, _INFINITE)[place]
            content = b"\x08" + varint(count) + bound + message(b"\x1a", _exemplar(exemplar))
            first = len(fields) - 2 * (len(bounds) - place)
            fields[first : first + 2] = [message(b"\x1a", content)]
    if histogram.native is not None:
        fields.append(_native_fields(histogram.native))
    if created is not None:
        fields.append(message(b"\x7a", timestamp(created)))
    return b"".join(fields)


@lru_cache(maxsize=4096)
def _bucket_head(count: int) -> bytes:
    """The fields of a bucket before its bound, and their length with it."""
    content = b"\x08" + varint(count)
    return b"\x1a" + varint(len(content) + 9) + content


def _exemplar(exemplar: Exemplar) -> bytes:
    """The Exemplar message: label 1, value 2, timestamp 3."""
    pair = _JOB_ID_FIELD + message(b"\x12", exemplar.job_id.encode())
    value = b"\x11" + double(exemplar.seconds)
    return message(b"\x0a", pair) + value + message(b"\x1a", exact_timestamp(exemplar.time))


_INFINITE: Final = b"\x11" + double(float("inf"))
"""The upper bound of the bucket of all observations."""


@lru_cache(maxsize=64)
def _bounds(bounds: tuple[float, ...]) -> tuple[bytes, ...]:
    return tuple(b"\x11" + double(bound) for bound in bounds)


def _native_fields(native: NativeBuckets) -> bytes:
    """The native buckets: schema 5, zero_threshold 6, zero_count 7, positive_span 12 (repeated,
    with offset 1 and length 2), positive_delta 13.

    A span is a run of buckets; its offset is the distance from the end of the one before, of the
    first one from bucket 0. The deltas are the differences of the buckets' counts, over all spans.
    """
    fields = [_native_head(native.schema), b"\x38", varint(native.zeros)]
    counts = native.counts
    deltas = bytearray()
    last = end = length = 0
    offset = 0
    for index in sorted(counts):
        gap = index - end
        if gap > _MAX_GAP or not deltas:
            if length:
                fields.append(_span(offset, length))
            offset, length = gap, 0
        else:
            for _ in range(gap):  # an empty bucket takes less than another span
                deltas += signed(-last)
                last = 0
            length += gap
        count = counts[index]
        deltas += signed(count - last)
        last, end = count, index + 1
        length += 1
    # without observations, an empty span says that the histogram is a native one
    fields += (_span(offset, length), message(b"\x6a", deltas))
    return b"".join(fields)


@lru_cache(maxsize=16)
def _native_head(schema: int) -> bytes:
    return b"\x28" + signed(schema) + b"\x31" + double(ZERO_THRESHOLD)


@lru_cache(maxsize=1024)
def _span(offset: int, length: int) -> bytes:
    return message(b"\x62", b"\x08" + signed(offset) + b"\x10" + varint(length))
