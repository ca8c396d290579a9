"""CPU time of this process and of Redis, and the latency of commands."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import redis

from benchmarks.table import progress

_DEFAULT_GC_THRESHOLDS = gc.get_threshold()

Action = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """The cost of one run: CPU milliseconds, and commands sent."""

    client_ms: float
    redis_ms: float
    commands: int


class Meter:
    """Measures actions against a Redis without other clients."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(port=port)

    def cost(self, action: Action) -> Cost:
        """Run the action once. The meter's own INFO is not counted."""
        before = self._server()
        client_ms = cpu_ms(action)
        after = self._server()
        return Cost(client_ms, (after[0] - before[0]) * 1000, int(after[1] - before[1]) - 1)

    def _server(self) -> tuple[float, float]:
        info = self._client.execute_command("INFO", "everything")
        cpu = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
        return cpu, float(info["total_commands_processed"])


def cpu_ms(action: Action) -> float:
    """The CPU milliseconds that this process needs for the action."""
    before = time.process_time()
    action()
    return (time.process_time() - before) * 1000


def interleaved(
    port: int,
    actions: Mapping[str, Action],
    rounds: int,
    prepare: Mapping[str, Action] | None = None,
) -> dict[str, Cost]:
    """The median cost of each action. Every round runs all actions, so noise affects them alike,
    and every other round in reverse: the first one would take up to 5 % longer.

    An action in `prepare` runs before the action of the same name and is not measured.
    """
    for action in actions.values():
        action()
    meter = Meter(port)
    costs: dict[str, list[Cost]] = {name: [] for name in actions}
    for round_ in range(rounds):
        progress(f"round {round_ + 1} of {rounds}")
        for name in list(actions)[:: -1 if round_ % 2 else 1]:
            if prepare and name in prepare:
                prepare[name]()
            costs[name].append(meter.cost(actions[name]))
    return {name: _median(each) for name, each in costs.items()}


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.client_ms for cost in costs),
        statistics.median(cost.redis_ms for cost in costs),
        int(statistics.median(cost.commands for cost in costs)),
    )


@contextlib.contextmanager
def default_gc_thresholds() -> Iterator[None]:
    """Python's default GC thresholds, for code that the exporter is compared with."""
    tuned = gc.get_threshold()
    gc.set_threshold(*_DEFAULT_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*tuned)


@dataclass(frozen=True)
class Commands:
    """The latency of single commands in an action."""

    longest_ms: float
    p99_ms: float
    """Of the command for which it is highest."""


def commands_of(port: int, action: Action, command: str = "") -> Commands:
    """Measure the action's commands, or only those named `command`; excludes the harness' own."""
    client = redis.Redis(port=port)
    client.config_resetstat()
    action()
    client.config_set("latency-tracking-info-percentiles", "99 100")
    info = client.execute_command("INFO", "latencystats")
    client.close()
    prefix, own = "latency_percentiles_usec_", ("info", "config", "client|setinfo")
    kinds = {name.removeprefix(prefix): found for name, found in info.items()}
    found = [
        usec
        for name, usec in kinds.items()
        if name.startswith(command) and not name.startswith(own)
    ]
    return Commands(
        max(float(usec["p100"]) for usec in found) / 1000,
        max(float(usec["p99"]) for usec in found) / 1000,
    )
