"""What a poll costs, beside the floor, interleaved."""

from __future__ import annotations

import math
import statistics

from benchmarks import data, floor
from benchmarks.exporter import Exporter
from benchmarks.measure import Action, interleaved, pythons_own_thresholds
from benchmarks.server import private_redis
from benchmarks.table import Line


def poll_lines(port: int, queues: int, rounds: int) -> list[Line]:
    """CPU of the client and of Redis; at rest, and where every queue has moved."""
    exporter = Exporter(port)
    plain = floor.redis_py(port)

    def redis_py() -> None:
        with pythons_own_thresholds():
            plain()

    actions: dict[str, Action] = {
        "floor": floor.reading(port),
        "redis-py": redis_py,
        "counts": exporter.counts(),
        "poll": exporter.poller.poll,
        "moved": exporter.poller.poll,
    }
    costs = interleaved(port, actions, rounds, {"moved": lambda: data.move(port, queues)})
    base, counts, poll, moved = (costs[name] for name in ("floor", "counts", "poll", "moved"))
    theirs = costs["redis-py"].client_ms
    return [
        Line("counts: client CPU", counts.client_ms, "ms", 3, base.client_ms),
        Line("counts: Redis CPU", counts.redis_ms, "ms", 1.3, base.redis_ms),
        Line("whole poll: client CPU", poll.client_ms, "ms", 8, base.client_ms),
        Line("whole poll: Redis CPU", poll.redis_ms, "ms", 3, base.redis_ms),
        Line("whole poll: commands a queue", poll.commands / queues, "", None),
        Line("- of a redis-py pipeline's client CPU for counts", poll.client_ms, "ms", 1, theirs),
        Line("every queue has moved: client CPU", moved.client_ms, "ms", None, base.client_ms),
        Line("every queue has moved: Redis CPU", moved.redis_ms, "ms", None, base.redis_ms),
        Line("every queue has moved: commands a queue", moved.commands / queues, "", None),
    ]


def growth_line(rounds: int, most: int) -> Line:
    """How the CPU of a poll grows with the queues: 1 is linear."""
    points = []
    for queues in (size for size in (10, 100, 1000, 10_000) if size <= most):
        with private_redis() as port:
            data.fill(port, queues)
            exporter = Exporter(port)
            costs = interleaved(port, {"poll": exporter.poller.poll}, rounds)
            points.append((math.log(queues), math.log(costs["poll"].client_ms)))
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope
    return Line(f"exponent of a poll's CPU, 10 to {most:,} queues", slope, "", 1.1)
