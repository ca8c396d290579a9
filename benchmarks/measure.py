"""Medians of CPU time, the caller's and Redis', and of commands."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis


@dataclass(frozen=True)
class Cost:
    """What one run of something costs."""

    client_ms: float
    redis_ms: float
    wall_ms: float
    commands: int


class Meter:
    """Measures actions against one Redis that nobody else uses."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(port=port)

    def cost(self, action: Callable[[], object]) -> Cost:
        """One run. The meter's own two INFO calls are among the commands taken off."""
        before = self._server()
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        after = self._server()
        return Cost(
            cpu * 1000,
            (after[0] - before[0]) * 1000,
            wall * 1000,
            int(after[1] - before[1]) - 1,
        )

    def _server(self) -> tuple[float, float]:
        info = self._client.execute_command("INFO", "everything")
        cpu = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
        return cpu, float(info["total_commands_processed"])


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        statistics.median(cost.client_ms for cost in costs),
        statistics.median(cost.redis_ms for cost in costs),
        statistics.median(cost.wall_ms for cost in costs),
        int(statistics.median(cost.commands for cost in costs)),
    )


def reset_latencies(port: int) -> None:
    """Forget what Redis has measured of its commands."""
    redis.Redis(port=port).config_resetstat()


def longest_command_ms(port: int, command: str = "") -> float:
    """The longest that one command took since then; of all but those of the harness itself.

    Of each kind the 99.99th percentile, the longest where there are fewer: of a hundred thousand
    ZCARD, which take a microsecond, some meet the moment in which Redis has to leave its CPU.
    """
    client = redis.Redis(port=port)
    client.config_set("latency-tracking-info-percentiles", "99.99")
    info = client.execute_command("INFO", "latencystats")
    prefix = "latency_percentiles_usec_"
    longest = {
        name.removeprefix(prefix): float(value["p99.99"])
        for name, value in info.items()
        if name.startswith(prefix)
    }
    own = ("info", "config", "client|setinfo")
    found = [us for name, us in longest.items() if name.startswith(command) and name not in own]
    return max(found, default=0.0) / 1000
