"""The protobuf format: messages of io.prometheus.client's metrics.proto, written by hand.

A page is a series of MetricFamily messages, each after its length. Their fields:

    MetricFamily   name 1, help 2, type 3, metric 4 (repeated), unit 5
    Metric         label 1 (repeated), gauge 2, counter 3, histogram 7
    LabelPair      name 1, value 2
    Gauge          value 1
    Counter        value 1, created_timestamp 3

A field begins with a byte for its number and kind, its tag; `histograms.py` has those of Histogram.
Fields of a message may come in any order, repeated messages may be concatenated, and 0 and the
empty string need not be written. So the metrics of a family can be encoded separately, cached and
joined, as lines of text are. The protobuf library would build an object for each sample, and the
Prometheus client library writes no protobuf. The tests read every page with the official classes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from exporter.metrics import Family, MetricType

_TYPES: Final = {MetricType.COUNTER: 0, MetricType.GAUGE: 1, MetricType.HISTOGRAM: 4}
"""Numbers of the enumeration MetricType."""
_METRIC: Final = b"\x22"
_GAUGE, _COUNTER, _HISTOGRAM = b"\x12", b"\x1a", b"\x3a"
_VALUE: Final = b"\x09"
"""The tag of a gauge's or counter's value; eight bytes follow."""
_CREATED: Final = b"\x1a"
"""The tag of a counter's created timestamp."""
_double = struct.Struct("<d").pack


def varint(number: int) -> bytes:
    """A number of 0 or more, seven bits a byte, the lowest first."""
    if number < 0x80:
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


@lru_cache(maxsize=1024)
def signed(number: int) -> bytes:
    """A number of type sint: 0, -1, 1, -2, … as 0, 1, 2, 3, …"""
    return varint(number * 2 if number >= 0 else -number * 2 - 1)


_ONE_BYTE: Final = tuple(bytes([number]) for number in range(0x80))


def double(value: float) -> bytes:
    """A floating-point number."""
    return _double(value)


def message(tag: bytes, content: bytes | bytearray) -> bytes:
    """A field that is a message or a string."""
    return tag + varint(len(content)) + content


@lru_cache(maxsize=1024)
def timestamp(seconds: float) -> bytes:
    """A google.protobuf.Timestamp: Unix time in whole seconds, rounded down."""
    return b"\x08" + varint(int(seconds))


def exact_timestamp(seconds: float) -> bytes:
    """A google.protobuf.Timestamp to the millisecond."""
    whole, ms = divmod(round(seconds * 1000), 1000)
    return b"\x08" + varint(whole) + (b"\x10" + varint(ms * 1_000_000) if ms else b"")


def label_pairs(names: Iterable[str], values: Iterable[str]) -> bytes:
    """The labels of a metric; to Prometheus, an empty label is none."""
    return b"".join(
        [
            message(b"\x0a", message(b"\x0a", _utf8(name)) + message(b"\x12", _utf8(value)))
            for name, value in zip(names, values, strict=True)
            if value
        ]
    )


def family_header(family: Family) -> bytes:
    """The fields of a family before its metrics."""
    fields = [
        message(b"\x0a", _utf8(family.name)),
        message(b"\x12", _utf8(family.help)),
        b"\x18" + varint(_TYPES[family.kind]),
    ]
    if family.unit and family.name.endswith(f"_{family.unit}"):
        fields.append(message(b"\x2a", _utf8(family.unit)))
    return b"".join(fields)


def metric(kind: MetricType, labels: bytes, value: float, created: float | None = None) -> bytes:
    """A gauge or counter, as a field of its family."""
    content = _VALUE + double(value)
    if kind is MetricType.COUNTER and created is not None:
        content = message(_CREATED, timestamp(created)) + content
    tag = _COUNTER if kind is MetricType.COUNTER else _GAUGE
    return message(_METRIC, labels + message(tag, content))


def histogram_metric(labels: bytes, histogram: bytes) -> bytes:
    """A metric with this Histogram message, as a field of its family."""
    return message(_METRIC, labels + message(_HISTOGRAM, histogram))


def value_head(kind: MetricType, *, created: bool) -> bytes:
    """What precedes a value in a metric of `equal_metrics`."""
    if kind is MetricType.COUNTER:
        # the created timestamp is part of the row
        return _VALUE if created else _COUNTER + b"\x09" + _VALUE
    return _GAUGE + b"\x09" + _VALUE


def created_row(labels: bytes, created: float) -> bytes:
    """The labels of a counter and its beginning, up to the value."""
    stamp = message(_CREATED, timestamp(created))
    return labels + _COUNTER + varint(len(stamp) + 9) + stamp


def equal_metrics(rows: Sequence[bytes], head: bytes, values: Sequence[float]) -> bytes:
    """Metrics with a value each, as fields of their family; `rows` are of equal length.

    All metrics have one length, so the bytes of the values have a constant distance, and a slice
    sets one byte of all of them.
    """
    begin = _METRIC + varint(len(rows[0]) + len(head) + 8)
    middle = head + bytes(8)
    metrics = bytearray(begin + (middle + begin).join(rows) + middle)
    packed = struct.pack(f"<{len(values)}d", *values)
    distance = len(metrics) // len(rows)
    for place in range(8):
        metrics[distance - 8 + place :: distance] = packed[place::8]
    return bytes(metrics)


def zero_gauges(rows: Sequence[bytes], labels: bytes) -> bytes:
    """Gauges of 0, as fields of their family; `rows` are of equal length."""
    begin = _METRIC + varint(len(rows[0]) + len(labels) + 2)
    end = labels + _GAUGE + b"\x00"
    return begin + (end + begin).join(rows) + end


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
