"""What a page costs, beside one template, and a scrape of it."""

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
from benchmarks.exporter import OPENMETRICS_GZIP, Exporter
from benchmarks.measure import cpu_ms, pythons_own_thresholds
from benchmarks.server import private_redis
from benchmarks.table import Line
from exporter.exposition import Format, PageWriter, Renderer, Variant
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Dated, Snapshot
from exporter.web import Users, WebServer, application, open_socket

TEXT = Variant(Format.TEXT, gzip=False)


def page_lines(port: int, rounds: int) -> list[Line]:
    """The page after a poll, as text and as Prometheus asks for it, and a scrape of it."""
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
        Line("- gzipped, beside the plain floor", gzipped, "ms", 2, base),
        Line("scrape from memory, gzip, at the client", _scrape_ms(exporter, rounds), "ms", 15),
    ]


def client_library_lines(rounds: int) -> list[Line]:
    """100,000 series of which every value is another each time, against `generate_latest`."""
    with private_redis() as port:
        data.fill(port, 5000)
        pages = _changing_pages(Exporter(port))
    series = _series(pages(TEXT))
    registry = CollectorRegistry()
    registry.register(_Gauges(series))
    render = floor.rendering(series)
    times: dict[str, list[float]] = {"plain": [], "gzip": [], "floor": [], "theirs": []}
    for _ in range(rounds):
        times["plain"].append(cpu_ms(lambda: pages(TEXT)))
        times["gzip"].append(cpu_ms(lambda: pages(OPENMETRICS_GZIP)))
        times["floor"].append(cpu_ms(render))
        with pythons_own_thresholds():
            times["theirs"].append(cpu_ms(lambda: generate_latest(registry)))
    plain, gzipped, base, theirs = (statistics.median(found) for found in times.values())
    return [
        Line(f"{series:,} series, all changed, plain: CPU", plain, "ms", 2, base),
        Line("- gzipped, beside the plain floor", gzipped, "ms", None, base),
        Line("- generate_latest, times our plain page", theirs, "ms", 15, plain, at_least=True),
        Line("- generate_latest, times our gzip", theirs, "ms", 15, gzipped, at_least=True),
    ]


def _series(page: bytes) -> int:
    return sum(not line.startswith(b"#") for line in page.splitlines())


def _changing_pages(exporter: Exporter) -> Callable[[Variant], bytes]:
    """Pages of the queues, of which no value is as on the page before."""
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
    """As many gauges of the client library's."""

    def __init__(self, series: int) -> None:
        self._series = series

    def collect(self) -> Iterator[Metric]:
        labels = ["connection", "prefix", "queue", "state"]
        family = GaugeMetricFamily("bullmq_queue_jobs", "Jobs.", labels=labels)
        for row in range(self._series):
            family.add_metric(["default", "bull", f"svc-tasks-{row:05d}", "waiting"], row)
        yield family


def _scrape_ms(exporter: Exporter, rounds: int) -> float:
    press = Renderer(exporter.store, lambda: exporter.config)
    press.body(OPENMETRICS_GZIP)
    press.render()
    sock = open_socket("127.0.0.1:0")
    pages = application(lambda: exporter.config, exporter.store, press, Users({}), Future)
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
