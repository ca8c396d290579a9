"""Metrics of the exporter's own process, from the Prometheus client library."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Metric,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.exposition import protobuf
from exporter.exposition.formats import Format
from exporter.exposition.text import ending
from exporter.metrics import Family, MetricType

_REGISTRY = CollectorRegistry()
ProcessCollector(registry=_REGISTRY)
PlatformCollector(registry=_REGISTRY)
GCCollector(registry=_REGISTRY)


def process_families(form: Format) -> bytes:
    """`process_*`, `python_info` and `python_gc_*`, without the format's end marker."""
    if form is Format.PROTOBUF:
        return b"".join(_messages())
    if form is Format.TEXT:
        return generate_latest(_REGISTRY)
    page: bytes = generate_openmetrics(_REGISTRY)
    return page.removesuffix(ending(form).encode())


def _messages() -> Iterator[bytes]:
    for found in _REGISTRY.collect():
        kind = MetricType(found.type)
        name = f"{found.name}_total" if kind is MetricType.COUNTER else found.name
        family = Family(name, kind, (), found.documentation, "", found.unit)
        metrics = b"".join(_metrics(found, kind))
        header = protobuf.family_header(family)
        yield protobuf.varint(len(header) + len(metrics)) + header + metrics


def _metrics(found: Metric, kind: MetricType) -> Iterator[bytes]:
    for sample in found.samples:
        pairs = protobuf.label_pairs(sample.labels.keys(), sample.labels.values())
        yield protobuf.metric(kind, pairs, sample.value)
