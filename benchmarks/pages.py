"""The cost of a page, compared with one template, and of a scrape."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import cycle

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from benchmarks import data, floor
from benchmarks.exporter import OPENMETRICS_GZIP, PROTOBUF_GZIP, Exporter
from benchmarks.measure import cpu_ms, default_gc_thresholds
from benchmarks.server import private_redis
from benchmarks.table import Line
from exporter.exposition import Format, PageWriter, Renderer, Variant
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Dated, Snapshot
from exporter.web import Users, WebServer, application, open_socket

_SERIES_A_QUEUE = 20
TEXT = Variant(Format.TEXT, gzip=False)


def page_lines(port: int, rounds: int) -> list[Line]:
    """Measure the page after a poll, as plain text and gzipped, and a scrape."""
    exporter = Exporter(port)
    series = _series(exporter.page(TEXT))
    render = floor.rendering(series)
    rendered: list[float] = []
    made: dict[Variant, list[float]] = {TEXT: [], OPENMETRICS_GZIP: []}
    for _ in range(rounds):
        for variant, times in made.items():
            exporter.poller.poll()
            times.append(cpu_ms(partial(exporter.page, variant)))
        rendered.append(cpu_ms(render))
    base = statistics.median(rendered)
    plain, gzipped = (statistics.median(times) for times in made.values())
    return [
        Line(f"page of {series:,} series, plain: CPU", plain, "ms", 2, base),
        Line("- gzipped, compared with the plain floor", gzipped, "ms", 2, base),
        Line("scrape, gzipped, seen by the client", _scrape_ms(exporter, rounds), "ms", 15),
    ]


def client_library_lines(rounds: int, wanted: int) -> list[Line]:
    """Measure a page of about `wanted` series that all change each time, and `generate_latest`."""
    with private_redis() as port:
        data.fill(port, wanted // _SERIES_A_QUEUE)
        pages = _changing_pages(Exporter(port))
    series = _series(pages(TEXT))
    registry = CollectorRegistry()
    registry.register(_Gauges(series))
    render = floor.rendering(series)
    names = ("plain", "gzip", "protobuf", "floor", "generate_latest")
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        times["plain"].append(cpu_ms(lambda: pages(TEXT)))
        times["gzip"].append(cpu_ms(lambda: pages(OPENMETRICS_GZIP)))
        times["protobuf"].append(cpu_ms(lambda: pages(PROTOBUF_GZIP)))
        times["floor"].append(cpu_ms(render))
        with default_gc_thresholds():
            times["generate_latest"].append(cpu_ms(lambda: generate_latest(registry)))
    plain, gzipped, protobuf, base, library = (statistics.median(each) for each in times.values())
    return [
        Line(f"{series:,} series, every value changed, plain: CPU", plain, "ms", 2, base),
        Line("- gzipped, compared with the plain floor", gzipped, "ms", None, base),
        Line("- protobuf, gzipped, compared with the text, gzipped", protobuf, "ms", 2, gzipped),
        Line(
            "- generate_latest, compared with the plain page",
            library,
            "ms",
            15,
            plain,
            at_least=True,
        ),
        Line(
            "- generate_latest, compared with the gzipped page",
            library,
            "ms",
            15,
            gzipped,
            at_least=True,
        ),
    ]


def _series(page: bytes) -> int:
    return sum(not line.startswith(b"#") for line in page.splitlines())


def _changing_pages(exporter: Exporter) -> Callable[[Variant], bytes]:
    """Return a function that writes pages; every value differs from the previous page."""
    writer = PageWriter()
    states = cycle([_shifted(exporter, by) for by in (1, 2)])
    return lambda variant: writer.write(exporter.moment(next(states))).body(variant)


def _shifted(exporter: Exporter, by: int) -> Snapshot:
    table = exporter.table
    columns = {
        column: [value + by if isinstance(value, int | float) else value for value in values]
        for column, values in table.columns.items()
    }
    dated = Dated(replace(table, columns=columns), time.monotonic())
    return replace(exporter.snapshot, facts={QueueTable: dated})


class _Gauges:
    """A collector of the client library with this many gauges."""

    def __init__(self, series: int) -> None:
        self._series = series

    def collect(self) -> Iterator[Metric]:
        labels = ["connection", "prefix", "queue", "state"]
        family = GaugeMetricFamily("bullmq_queue_size", "Jobs.", labels=labels)
        for row in range(self._series):
            family.add_metric(["default", "bull", f"svc-tasks-{row:05d}", "waiting"], row)
        yield family


def _scrape_ms(exporter: Exporter, rounds: int) -> float:
    renderer = Renderer(exporter.store, lambda: exporter.config)
    renderer.body(OPENMETRICS_GZIP)
    renderer.render()
    sock = open_socket("127.0.0.1:0")
    pages = application(
        lambda: exporter.config, exporter.store, renderer, Users({}), Future, lambda: None
    )
    web = WebServer(pages, sock, 40, None)
    web.start()
    connection = http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1])
    headers = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
    times = []
    for _ in range(rounds * 2):
        start = time.perf_counter()
        connection.request("GET", "/metrics", headers=headers)
        connection.getresponse().read()
        times.append((time.perf_counter() - start) * 1000)
    connection.close()
    threading.Thread(target=web.stop, daemon=True).start()
    return statistics.median(times)
