"""The cost of following event streams, compared with a redis-py XREAD loop that only counts."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.measure import Commands, Meter, commands_of, cpu_ms, default_gc_thresholds
from benchmarks.table import Line
from exporter.bullmq import Queue, queue_of
from exporter.collectors import Context, EventsCollector
from exporter.config.loader import load
from exporter.config.models import Events
from exporter.connection import Client, ClientRegistry

STEPS = (
    {"event": "added", "jobId": 0, "name": "task"},
    {"event": "waiting", "jobId": 0},
    {"event": "active", "jobId": 0, "prev": "waiting"},
    {"event": "completed", "jobId": 0, "returnvalue": '{"ok":true}', "prev": "active"},
)
BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)


def event_lines(port: int, rounds: int, events: int, streams: int = 100) -> list[Line]:
    """Measure heavy traffic in many streams, and idle streams."""
    queues = tuple(queue_of("events", f"q{index:03}") for index in range(streams))
    each = events // streams
    client = redis.Redis(port=port)
    exporter_rates: list[float] = []
    loop_rates: list[float] = []
    reads: list[Commands] = []
    for _ in range(rounds):
        collector, context = _start_at_end(port, client, queues)
        _write(client, queues, each)

        def collect(c: EventsCollector = collector, x: Context = context) -> None:
            exporter_rates.append(_rate(streams * each, lambda: c.collect(x)))

        reads.append(commands_of(port, collect, "xread"))
        with default_gc_thresholds():
            loop_rates.append(_rate(streams * each, lambda: _plain_loop(port, queues)))
        context.client.close()
    rate, floor = statistics.median(exporter_rates) / 1000, statistics.median(loop_rates) / 1000
    longest, p99 = [read.longest_ms for read in reads], [read.p99_ms for read in reads]
    return [
        Line(
            "1,000 events per CPU second, compared with a redis-py loop",
            rate,
            "",
            4,
            floor,
            at_least=True,
        ),
        Line("longest XREAD", statistics.median(longest), "ms", 2, worst=max(longest)),
        Line("- p99 of these XREADs", statistics.median(p99), "ms", None, worst=max(p99)),
        _idle_line(port),
    ]


def _start_at_end(
    port: int, client: redis.Redis, queues: tuple[Queue, ...]
) -> tuple[EventsCollector, Context]:
    for queue in queues:
        client.delete(queue.key + b"events")
    connection = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}).connections["default"]
    reader: Client = ClientRegistry().get(connection, "bench")
    reader.connect()
    collector = EventsCollector(Events(), 3600.0)
    context = Context(reader, 0.0, queues)
    collector.collect(context)
    return collector, context


def _write(client: redis.Redis, queues: tuple[Queue, ...], each: int) -> None:
    for queue in queues:
        pipe = client.pipeline(transaction=False)
        for number in range(each):
            fields = STEPS[number % 4] | {"jobId": number // 4}
            pipe.execute_command("XADD", queue.key + b"events", "*", *sum(fields.items(), ()))
        pipe.execute()


def _rate(events: int, action: Callable[[], object]) -> float:
    return events / cpu_ms(action) * 1000


def _plain_loop(port: int, queues: tuple[Queue, ...]) -> None:
    """Count events by queue and kind, and measure each job from active to completed."""
    client = redis.Redis(port=port)
    positions: dict[Any, Any] = {queue.key + b"events": b"0-0" for queue in queues}
    counts: Counter[tuple[bytes, bytes]] = Counter()
    buckets = [0] * (len(BOUNDS) + 1)
    active: dict[tuple[bytes, bytes], int] = {}
    # redis-py's type of the reply covers both protocols
    read: Callable[..., Any] = client.xread
    while reply := read(positions, count=1000):
        for key, entries in reply:
            for entry_id, fields in entries:
                event, job = fields[b"event"], fields.get(b"jobId")
                counts[key, event] += 1
                at = int(entry_id.split(b"-")[0])
                if event == b"active":
                    active[key, job] = at
                elif event == b"completed" and (key, job) in active:
                    buckets[bisect_left(BOUNDS, at - active.pop((key, job)))] += 1
            positions[key] = entries[-1][0]
    client.close()


def _idle_line(port: int, streams: int = 1000, rounds: int = 15) -> Line:
    client = redis.Redis(port=port)
    queues = tuple(queue_of("idle", f"q{index:04}") for index in range(streams))
    for queue in queues:
        client.xadd(queue.key + b"events", {"event": "added", "jobId": 1})
    connection = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}).connections["default"]
    reader = ClientRegistry().get(connection, "bench")
    reader.connect()
    collector = EventsCollector(Events(), 5.0)
    context = Context(reader, 0.0, queues)
    for _ in range(12):
        collector.collect(context)
    meter = Meter(port)
    costs = [meter.cost(lambda: collector.collect(context)) for _ in range(rounds)]
    redis_ms = statistics.median(cost.redis_ms for cost in costs)
    return Line(f"{streams:,} idle event streams: Redis CPU per poll", redis_ms, "ms", 3)
