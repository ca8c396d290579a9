"""Finding queues among many other keys."""

from __future__ import annotations

import statistics
import time

from benchmarks.measure import Meter, longest_command_ms, median, reset_latencies
from benchmarks.server import add_noise, fill, private_redis
from benchmarks.table import Line, progress
from exporter.collectors import Context, Discovery
from exporter.config import load
from exporter.connection import Clients

_WALKS = 3


def discovery_lines(queues: int, noise: int) -> list[Line]:
    """Whole walks, without the pauses that they make."""
    with private_redis() as port:
        fill(port, queues)
        progress(f"writing {noise:,} other keys")
        add_noise(port, noise)
        config = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
        client = Clients().get(config.connections["default"], "bench")
        client.connect()
        discovery = Discovery(config.queues)
        context = Context(client, time.monotonic())

        def walk() -> None:
            while not discovery.step(context):
                pass

        costs, pages = [], []
        for _ in range(_WALKS):
            reset_latencies(port)
            costs.append(Meter(port).cost(walk))
            pages.append(longest_command_ms(port, "scan"))
    cost, longest = median(costs), statistics.median(pages)
    share = cost.redis_ms / 1000 / config.queues.discovery_interval_seconds
    return [
        Line(f"discovery among {noise:,} other keys: longest page", longest, "ms", 1.5),
        Line("discovery: Redis' time over an hour", share * 100, "%", 3),
    ]
