"""Finding queues among many other keys."""

from __future__ import annotations

import statistics
import time

from benchmarks.data import add_noise, fill
from benchmarks.measure import Meter, commands_of
from benchmarks.server import private_redis
from benchmarks.table import Line, progress
from exporter.collectors import Context, Discovery
from exporter.config.loader import load
from exporter.connection import ClientRegistry


def discovery_lines(queues: int, noise: int, walks: int = 5) -> list[Line]:
    """Whole walks."""
    with private_redis() as port:
        fill(port, queues)
        progress(f"writing {noise:,} other keys")
        add_noise(port, noise)
        config = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
        client = ClientRegistry().get(config.connections["default"], "bench")
        client.connect()
        discovery = Discovery(config.queues)
        context = Context(client, time.monotonic())

        def walk() -> None:
            while not discovery.step(context):
                pass

        meter = Meter(port)
        redis_ms = statistics.median(meter.cost(walk).redis_ms for _ in range(walks))
        pages = [commands_of(port, walk, "scan") for _ in range(walks)]
    share = redis_ms / 1000 / config.queues.discovery_interval_seconds
    longest = [page.longest_ms for page in pages]
    p99 = [page.p99_ms for page in pages]
    return [
        Line(
            f"{noise:,} other keys: longest page of a walk",
            statistics.median(longest),
            "ms",
            1.5,
            worst=max(longest),
        ),
        Line("- p99 of the pages", statistics.median(p99), "ms", None, worst=max(p99)),
        Line("discovery: Redis' time over an hour", share * 100, "%", 3),
    ]
