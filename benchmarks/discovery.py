"""The cost of finding queues among many other keys."""

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


def discovery_lines(queues: int, noise: int, passes: int = 5) -> list[Line]:
    """Measure complete discovery passes: Redis CPU, and the latency of SCAN."""
    with private_redis() as port:
        fill(port, queues)
        progress(f"writing {noise:,} other keys")
        add_noise(port, noise)
        config = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
        client = ClientRegistry().get(config.connections["default"], "bench")
        client.connect()
        discovery = Discovery(config.queues)
        context = Context(client, time.monotonic())

        def discover() -> None:
            while not discovery.step(context):
                pass

        meter = Meter(port)
        redis_ms = statistics.median(meter.cost(discover).redis_ms for _ in range(passes))
        scans = [commands_of(port, discover, "scan") for _ in range(passes)]
    share = redis_ms / 1000 / config.queues.discovery_interval_seconds
    longest = [scan.longest_ms for scan in scans]
    p99 = [scan.p99_ms for scan in scans]
    return [
        Line(
            f"discovery among {noise:,} other keys: longest SCAN",
            statistics.median(longest),
            "ms",
            1.5,
            worst=max(longest),
        ),
        Line("- p99 of these SCANs", statistics.median(p99), "ms", None, worst=max(p99)),
        Line("discovery: share of Redis' time", share * 100, "%", 3),
    ]
