"""A metrics page with every family of the catalogue and known values, served over HTTP.

With it, Prometheus has data for every panel at once, and exporters can differ in one thing only.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from exporter.collectors.queues import STATES
from exporter.metrics import CATALOGUE, Family, MetricType

LABELS: Mapping[str, Sequence[str]] = {
    "connection": ("main",),
    "prefix": ("bull",),
    "queue": ("mail",),
    "state": STATES,
    "job_name": ("send", "retry"),
    "outcome": ("completed", "failed", "retried"),
    "reason": ("no_workers",),
    "collector": ("queues",),
    "writer": ("main",),
    "reader": ("other",),
    "producer_connection": ("main",),
    "worker_connection": ("other",),
}
"""The values of labels; those of any other label are `x`."""

SWITCHES: Mapping[str, float] = {
    "bullmq_up": 1,
    "bullmq_queue_paused": 0,
    "bullmq_queue_workers": 0,
    "bullmq_queue_blocked": 1,
    "bullmq_worker_isolation": 1,
    "bullmq_connection_info": 1,
    "bullmq_redis_info": 1,
    "bullmq_redis_master_link_up": 1,
    "bullmq_sync_check_success": 0,
    "bullmq_slo_objective_ratio": 0.9,
}
"""Gauges that are always 1, and those whose value decides whether a panel has data."""

# what Prometheus' client adds to an exporter's page
_PROCESS = ("process_start_time_seconds", "process_resident_memory_bytes", "process_open_fds")
_BOUNDS = ("0.1", "1", "+Inf")


def page(number: float, scrapes: int, labels: Mapping[str, Sequence[str]] | None = None) -> str:
    """Every gauge is `number`, and every counter grows by it with each scrape."""
    lines = [f"{name} {number:g}" for name in _PROCESS]
    lines.append(f"process_cpu_seconds_total {number * scrapes:g}")
    for family in CATALOGUE:
        lines += _samples(family, number, scrapes, {**LABELS, **(labels or {})})
    return "\n".join(lines) + "\n"


def _samples(
    family: Family, number: float, scrapes: int, values: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for chosen in itertools.product(*(values.get(label, ("x",)) for label in family.labels)):
        labels = [f'{n}="{v}"' for n, v in zip(family.labels, chosen, strict=True)]
        braces = "{" + ",".join(labels) + "}"
        if family.kind is MetricType.HISTOGRAM:
            for count, bound in enumerate(_BOUNDS, 1):
                le = ",".join([*labels, f'le="{bound}"'])
                yield f"{family.name}_bucket{{{le}}} {count * number * scrapes:g}"
            yield f"{family.name}_sum{braces} {number * scrapes:g}"
            yield f"{family.name}_count{braces} {len(_BOUNDS) * number * scrapes:g}"
        elif family.kind is MetricType.COUNTER:
            yield f"{family.name}{braces} {number * scrapes:g}"
        else:
            yield f"{family.name}{braces} {SWITCHES.get(family.name, number):g}"


@contextlib.contextmanager
def served(number: float, labels: Mapping[str, Sequence[str]] | None = None) -> Iterator[int]:
    """The port of an HTTP server that answers each request with the next `page`."""
    scrapes = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page(number, next(scrapes), labels).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
