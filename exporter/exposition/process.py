"""Metrics of the exporter's own process, from the Prometheus client library."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.exposition.text import Format, ending

_REGISTRY = CollectorRegistry()
ProcessCollector(registry=_REGISTRY)
PlatformCollector(registry=_REGISTRY)
GCCollector(registry=_REGISTRY)


def process_families(form: Format) -> str:
    """`process_*`, `python_info` and `python_gc_*`, without the format's end marker."""
    if form is Format.TEXT:
        return generate_latest(_REGISTRY).decode()
    page: bytes = generate_openmetrics(_REGISTRY)
    return page.decode().removesuffix(ending(form))
