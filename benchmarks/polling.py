"""The cost of a poll, compared with the floor in the same rounds."""

from __future__ import annotations

import math
import statistics

from benchmarks import data, floor
from benchmarks.exporter import Exporter
from benchmarks.measure import Action, default_gc_thresholds, interleaved
from benchmarks.server import private_redis
from benchmarks.table import Line


def poll_lines(port: int, queues: int, rounds: int) -> list[Line]:
    """Measure the CPU of client and Redis while nothing changes; `loads` measures the process."""
    exporter = Exporter(port)
    read_counts = floor.redis_py(port)

    def redis_py() -> None:
        with default_gc_thresholds():
            read_counts()

    actions: dict[str, Action] = {
        "floor": floor.reading(port),
        "redis-py": redis_py,
        "counts": exporter.counts(),
        "poll": exporter.poller.poll,
    }
    costs = interleaved(port, actions, rounds)
    base, counts, poll = (costs[name] for name in ("floor", "counts", "poll"))
    pipeline_ms = costs["redis-py"].client_ms
    return [
        Line("counts: client CPU", counts.client_ms, "ms", 3, base.client_ms),
        Line("counts: Redis CPU", counts.redis_ms, "ms", 1.3, base.redis_ms),
        Line("whole poll: client CPU", poll.client_ms, "ms", 8, base.client_ms),
        Line("whole poll: Redis CPU", poll.redis_ms, "ms", 3, base.redis_ms),
        Line("whole poll: commands per queue", poll.commands / queues, "", None),
        Line(
            "- compared with a redis-py pipeline for the counts",
            poll.client_ms,
            "ms",
            1,
            pipeline_ms,
        ),
    ]


def growth_line(rounds: int, most: int) -> Line:
    """Measure how the CPU of a poll grows with the number of queues; 1 is linear."""
    points = []
    for queues in (size for size in (10, 100, 1000, 10_000) if size <= most):
        with private_redis() as port:
            data.fill(port, queues)
            exporter = Exporter(port)
            costs = interleaved(port, {"poll": exporter.poller.poll}, rounds)
            points.append((math.log(queues), math.log(costs["poll"].client_ms)))
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope
    return Line(f"growth of poll CPU from 10 to {most:,} queues, exponent", slope, "", 1.1)
