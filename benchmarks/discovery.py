"""Finding queues among many other keys."""

from __future__ import annotations

import time

from benchmarks.measure import Meter, longest_command_ms, reset_latencies
from benchmarks.server import add_noise, fill, private_redis
from benchmarks.table import Line, progress
from exporter.collectors import Context, Discovery
from exporter.config import load
from exporter.connection import Clients


def discovery_lines(queues: int, noise: int) -> list[Line]:
    """One whole walk."""
    with private_redis() as port:
        fill(port, queues)
        progress(f"writing {noise:,} other keys")
        add_noise(port, noise)
        config = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
        client = Clients().get(config.connections["default"], "bench")
        client.connect()
        discovery = Discovery(config.queues)
        context = Context(client, time.monotonic())
        reset_latencies(port)

        def walk() -> None:
            while not discovery.step(context):
                pass

        cost = Meter(port).cost(walk)
        longest = longest_command_ms(port, "scan")
    share = cost.redis_ms / 1000 / config.queues.discovery_interval_seconds
    return [
        Line(f"discovery among {noise:,} other keys: longest page", longest, "ms", 1.5),
        Line("discovery: Redis' time over an hour", share * 100, "%", 3),
    ]
