"""What a poll and a page cost, beside the floor, interleaved."""

from __future__ import annotations

import http.client
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from benchmarks import bystander, floor
from benchmarks.measure import Cost, Meter, longest_command_ms, median, reset_latencies
from benchmarks.server import fill, private_redis
from benchmarks.table import Line, progress
from exporter.board import Board
from exporter.bullmq import STATES, queue_of
from exporter.collectors import collectors_for
from exporter.collectors.queues.plan import make_batches
from exporter.config import Config, load
from exporter.connection import Clients
from exporter.exposition import Format, PageWriter, Press, Variant
from exporter.exposition.queues import QueueWriter
from exporter.polling import Poller
from exporter.snapshot import Dated, EventFacts, QueueEvents, QueueTable
from exporter.web import WebServer, application, open_socket

OPENMETRICS_GZIP = Variant(Format.OPENMETRICS, gzip=True)
TEXT = Variant(Format.TEXT, gzip=False)
_WINDOW_SECONDS = 2.0
_COUNTERS = ("added", "started", "completed", "failed", "retried", "stalled")


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
        batches = [(batch.counts, len(batch.queues) * 10) for batch in make_batches(queues)]

        def read() -> list[list[object]]:
            read = (self.client.batch(packed, count).replies for packed, count in batches)
            return [replies[place::10] for replies in read for place in range(10)]

        return read

    def page(self, variant: Variant = OPENMETRICS_GZIP) -> bytes:
        """Everything, as Prometheus asks for it."""
        return self.writer.write(self.board.snapshots()).body(variant)

    def change_everything(self) -> None:
        """Publish other facts of every queue."""
        snapshot = self.board.snapshots()[0]
        facts = {kind: _changed(dated) for kind, dated in snapshot.facts.items()}
        self.board.publish(replace(snapshot, facts=facts))


def _changed(dated: Dated) -> Dated:
    facts = dated.facts
    if isinstance(facts, QueueTable):
        columns = {
            name: [None if value is None else value + 1 for value in column]
            for name, column in facts.columns.items()
        }
        return replace(dated, facts=replace(facts, columns=columns))
    if isinstance(facts, EventFacts):
        queues = {queue: _more(events) for queue, events in facts.queues.items()}
        return replace(dated, facts=replace(facts, queues=queues))
    return dated


def _more(events: QueueEvents) -> QueueEvents:
    jobs = events.jobs[""]
    # one more of each but of the events read, with which the histograms would come
    more = {name: getattr(jobs, name) + 1 for name in _COUNTERS}
    return replace(events, lost=events.lost + 1, jobs={"": replace(jobs, **more)})


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


def neighbour_lines(port: int, rounds: int) -> list[Line]:
    """What others on that Redis feel; medians of windows of two seconds."""
    exporter = Exporter(port)
    over, longest = [], []
    for _ in range(rounds):
        idle = bystander.p99_ms(port, _WINDOW_SECONDS)
        reset_latencies(port)
        busy = bystander.p99_ms(port, _WINDOW_SECONDS, exporter.poller.poll)
        longest.append(longest_command_ms(port))
        over.append(busy - idle)
    return [
        Line("bystander's PING, p99 over idle", max(0.0, statistics.median(over)), "ms", 3),
        Line("longest command of a poll", statistics.median(longest), "ms", 2),
    ]


def page_lines(port: int, rounds: int) -> list[Line]:
    """The page as Prometheus takes it: its making, and a scrape of it."""
    exporter = Exporter(port)
    series = sum(not line.startswith(b"#") for line in exporter.page(TEXT).splitlines())
    exporter.page()
    render = floor.rendering(series)
    rendered, rest, changed = [], [], []
    for _ in range(rounds):
        rendered.append(_cpu_ms(render))
        exporter.poller.poll()
        rest.append(_cpu_ms(exporter.page))
        exporter.change_everything()
        changed.append(_cpu_ms(exporter.page))
        exporter.poller.poll()
        exporter.page()
    base = statistics.median(rendered)
    name = f"gzipped page of {series:,} series: CPU"
    return [
        Line(f"{name}, at rest", statistics.median(rest), "ms", 2, base),
        Line(f"{name}, all changed", statistics.median(changed), "ms", 2, base),
        Line("scrape from memory, gzip, at the client", _scrape_ms(exporter, rounds), "ms", 15),
    ]


def client_library_line(rounds: int) -> Line:
    """100,000 series, all of them changed, against the client library's own exposition."""
    queues = tuple(queue_of("bull", f"svc-tasks-{row:05d}") for row in range(10_000))
    names = (*STATES, "paused", "schedulers", "events_stream_length")
    tables = [
        QueueTable(queues, {name: [at + row for row in range(10_000)] for name in names}, ())
        for at in range(2)
    ]
    writer = QueueWriter("default")
    registry = CollectorRegistry()
    registry.register(_Gauges(100_000))
    ours, theirs = [], []
    for turn in range(rounds + 1):
        ours.append(_cpu_ms(partial(_text, writer, tables[turn % 2])))
        theirs.append(_cpu_ms(partial(generate_latest, registry)))
    return Line(
        "generate_latest for 100,000 series, times our CPU",
        statistics.median(theirs),
        "ms",
        15,
        statistics.median(ours[1:]),
        at_least=True,
    )


def _text(writer: QueueWriter, table: QueueTable) -> bytes:
    return b"".join([piece.text for _, piece in writer.lines(table, None) if piece is not None])


def _cpu_ms(action: Callable[[], object]) -> float:
    before = time.process_time()
    action()
    return (time.process_time() - before) * 1000


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
