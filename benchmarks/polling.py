"""What a poll and a page cost, beside the floor, interleaved."""

from __future__ import annotations

import http.client
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from benchmarks import bystander, floor
from benchmarks.measure import Cost, Meter, longest_command_ms, median, reset_latencies
from benchmarks.server import fill, private_redis
from benchmarks.table import Line, progress
from exporter.board import Board
from exporter.collectors import collectors_for
from exporter.collectors.queues.plan import make_batches
from exporter.config import Config, load
from exporter.connection import Clients
from exporter.exposition import Format, PageWriter, Press, Variant
from exporter.polling import Poller
from exporter.snapshot import QueueTable
from exporter.web import WebServer, application, open_socket

OPENMETRICS_GZIP = Variant(Format.OPENMETRICS, gzip=True)
TEXT = Variant(Format.TEXT, gzip=False)


class Exporter:
    """The parts of an exporter, driven by hand, on one Redis."""

    def __init__(self, port: int) -> None:
        self.config: Config = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
        self.board = Board(["default"])
        self.client = Clients().get(self.config.connections["default"], "default")
        collectors = collectors_for(self.config)
        self.poller = Poller(self.config, ["default"], self.client, collectors, self.board)
        self.poller.poll_once()
        self.writer = PageWriter(60, 60)

    def counts(self) -> Callable[[], object]:
        """The first round trip alone: ten counts a queue, as columns."""
        table = self.board.snapshots()[0].get(QueueTable, time.monotonic(), 60)
        assert table is not None
        queues = table.queues
        batches = [(batch.counts, len(batch.queues) * 10) for batch in make_batches(queues, {})]

        def read() -> list[list[object]]:
            read = (self.client.batch(packed, count).replies for packed, count in batches)
            return [replies[place::10] for replies in read for place in range(10)]

        return read

    def page(self) -> bytes:
        """Everything, as text."""
        return self.writer.write(self.board.snapshots()).body(TEXT)


def poll_lines(port: int, rounds: int) -> list[Line]:
    """CPU of the client and of Redis."""
    exporter = Exporter(port)
    actions: dict[str, Callable[[], object]] = {
        "floor": floor.reading(port),
        "redis-py": floor.redis_py(port),
        "counts": exporter.counts(),
        "poll": exporter.poller.poll,
    }
    costs = _interleaved(port, actions, rounds)
    base = costs["floor"]
    return [
        Line("counts: client CPU", costs["counts"].client_ms, "ms", 3, base.client_ms),
        Line("counts: Redis CPU", costs["counts"].redis_ms, "ms", 1.3, base.redis_ms),
        Line("whole poll: client CPU", costs["poll"].client_ms, "ms", 8, base.client_ms),
        Line("whole poll: Redis CPU", costs["poll"].redis_ms, "ms", 3, base.redis_ms),
        Line(
            "whole poll: client CPU, of a redis-py pipeline's for counts",
            costs["poll"].client_ms,
            "ms",
            1,
            costs["redis-py"].client_ms,
        ),
    ]


def neighbour_lines(port: int, seconds: float) -> list[Line]:
    """What others on that Redis feel."""
    exporter = Exporter(port)
    idle = bystander.p99_ms(port, seconds)
    reset_latencies(port)

    def poll() -> None:
        exporter.poller.poll()
        time.sleep(0.2)

    busy = bystander.p99_ms(port, seconds, poll)
    return [
        Line("bystander's PING, p99 over idle", max(0.0, busy - idle), "ms", 3),
        Line("longest command of a poll", longest_command_ms(port), "ms", 2),
    ]


def page_lines(port: int, rounds: int) -> list[Line]:
    """The page in memory, and a scrape of it."""
    exporter = Exporter(port)
    series = sum(not line.startswith(b"#") for line in exporter.page().splitlines())

    def build() -> None:
        exporter.poller.poll()
        before = time.process_time()
        exporter.page()
        built.append(time.process_time() - before)

    built: list[float] = []
    rendered: list[float] = []
    render = floor.rendering(series)
    for _ in range(rounds):
        build()
        before = time.process_time()
        render()
        rendered.append(time.process_time() - before)
    return [
        Line(
            f"page of {series:,} series: CPU",
            statistics.median(built) * 1000,
            "ms",
            2,
            statistics.median(rendered) * 1000,
        ),
        Line("scrape from memory, gzip, at the client", _scrape_ms(exporter, rounds), "ms", 15),
    ]


def client_library_line(rounds: int) -> Line:
    """100,000 series against the client library's own exposition."""
    with private_redis() as port:
        fill(port, 1000)
        exporter = Exporter(port)
        exporter.page()
        series = exporter.page().count(b"\n")
        registry = CollectorRegistry()
        registry.register(_Gauges(series))
        ours, theirs = [], []
        for _ in range(rounds):
            exporter.poller.poll()
            before = time.process_time()
            exporter.page()
            ours.append((time.process_time() - before) / series)
            before = time.process_time()
            generate_latest(registry)
            theirs.append((time.process_time() - before) / series)
    per = 1e5 * 1000
    return Line(
        "generate_latest for 100,000 series, times our CPU",
        statistics.median(theirs) * per,
        "ms",
        15,
        statistics.median(ours) * per,
        at_least=True,
    )


def growth_line(rounds: int, most: int) -> Line:
    """How the CPU of a poll grows with the queues: 1 is linear."""
    points = []
    for queues in (size for size in (10, 100, 1000, 10_000) if size <= most):
        with private_redis() as port:
            fill(port, queues)
            exporter = Exporter(port)
            costs = _interleaved(port, {"poll": exporter.poller.poll}, rounds)
            points.append((math.log(queues), math.log(costs["poll"].client_ms)))
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope
    return Line(f"exponent of a poll's CPU, 10 to {most:,} queues", slope, "", 1.1)


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


def _interleaved(
    port: int, actions: dict[str, Callable[[], object]], rounds: int
) -> dict[str, Cost]:
    """Medians; every round runs all, so that a noisy moment falls on all alike."""
    for action in actions.values():
        action()
    meter = Meter(port)
    costs: dict[str, list[Cost]] = {name: [] for name in actions}
    for round_ in range(rounds):
        progress(f"round {round_ + 1} of {rounds}") if round_ % 10 == 9 else None
        for name, action in actions.items():
            costs[name].append(meter.cost(action))
    return {name: median(found) for name, found in costs.items()}


def _scrape_ms(exporter: Exporter, rounds: int) -> float:
    press = Press(exporter.board, exporter.config.poll)
    press.body(OPENMETRICS_GZIP)
    press.print_page()
    sock = open_socket("127.0.0.1:0")
    web = WebServer(application(exporter.config, exporter.board, press), sock, 40)
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
