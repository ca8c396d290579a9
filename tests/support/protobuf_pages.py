"""Reads protobuf pages with the official protobuf library, by Prometheus' metrics.proto.

https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.internal.decoder import _DecodeVarint32
from google.protobuf.json_format import MessageToDict

from tests.support.pages import Samples

_PACKAGE = "io.prometheus.client"
_TYPES = ("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM")
_PROTO = """
LabelPair: string name 1, string value 2
Gauge: double value 1
Counter: double value 1, Exemplar exemplar 2, Timestamp created_timestamp 3
Quantile: double quantile 1, double value 2
Summary: uint64 sample_count 1, double sample_sum 2, Quantile* quantile 3, \
Timestamp created_timestamp 4
Untyped: double value 1
Histogram: uint64 sample_count 1, double sample_count_float 4, double sample_sum 2, \
Bucket* bucket 3, Timestamp created_timestamp 15, sint32 schema 5, double zero_threshold 6, \
uint64 zero_count 7, double zero_count_float 8, BucketSpan* negative_span 9, \
sint64* negative_delta 10, double* negative_count 11, BucketSpan* positive_span 12, \
sint64* positive_delta 13, double* positive_count 14, Exemplar* exemplars 16
Bucket: uint64 cumulative_count 1, double cumulative_count_float 4, double upper_bound 2, \
Exemplar exemplar 3
BucketSpan: sint32 offset 1, uint32 length 2
Exemplar: LabelPair* label 1, double value 2, Timestamp timestamp 3
Metric: LabelPair* label 1, Gauge gauge 2, Counter counter 3, Summary summary 4, \
Untyped untyped 5, Histogram histogram 7, int64 timestamp_ms 6
MetricFamily: string name 1, string help 2, MetricType type 3, Metric* metric 4, string unit 5
"""
"""Its messages: type, name and number of each field; * if it is repeated."""


def _family_class() -> Any:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="metrics.proto",
        package=_PACKAGE,
        syntax="proto2",
        dependency=["google/protobuf/timestamp.proto"],
    )
    types = file.enum_type.add(name="MetricType")
    for number, name in enumerate(_TYPES):
        types.value.add(name=name, number=number)
    for line in _PROTO.strip().splitlines():
        name, _, fields = line.partition(": ")
        message = file.message_type.add(name=name)
        for each in fields.split(", "):
            kind, field_name, number = each.split()
            repeated = kind.endswith("*")
            kind = kind.rstrip("*")
            added = message.field.add(
                name=field_name,
                number=int(number),
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
            )
            if kind == "Timestamp":
                added.type, added.type_name = field.TYPE_MESSAGE, ".google.protobuf.Timestamp"
            elif kind == "MetricType":
                added.type, added.type_name = field.TYPE_ENUM, f".{_PACKAGE}.MetricType"
            elif kind[0].isupper():
                added.type, added.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.MetricFamily")
    return message_factory.GetMessageClass(found)


MetricFamily = _family_class()


def families(page: bytes) -> Iterator[Any]:
    """The MetricFamily messages of a page. Fails if it has anything that metrics.proto lacks."""
    place = 0
    while place < len(page):
        size, place = _DecodeVarint32(page, place)
        family = MetricFamily.FromString(page[place : place + size])
        # serialization keeps unknown fields, JSON does not
        known = MetricFamily()
        known.CopyFrom(family)
        known.DiscardUnknownFields()
        assert known.ByteSize() == family.ByteSize(), f"unknown fields in {family.name}"
        yield family
        place += size
    assert place == len(page)


def samples_of(page: bytes) -> Samples:
    """The samples that the text formats have for the same metrics."""
    found: Samples = {}
    for family in families(page):
        for metric in family.metric:
            labels = {pair.name: pair.value for pair in metric.label}
            for name, more, value in _samples(family, metric):
                key = (name, frozenset((labels | more).items()))
                assert key not in found, f"{key} appears twice"
                found[key] = value
    return found


def _samples(family: Any, metric: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    kind = _TYPES[family.type].lower()
    assert metric.HasField(kind), MessageToDict(metric)
    if kind != "histogram":
        yield family.name, {}, getattr(metric, kind).value
        return
    histogram = metric.histogram
    for bucket in histogram.bucket:
        if bucket.upper_bound != float("inf"):
            le = str(bucket.upper_bound)
            yield f"{family.name}_bucket", {"le": le}, bucket.cumulative_count
    yield f"{family.name}_bucket", {"le": "+Inf"}, histogram.sample_count
    yield f"{family.name}_sum", {}, histogram.sample_sum
    yield f"{family.name}_count", {}, histogram.sample_count
