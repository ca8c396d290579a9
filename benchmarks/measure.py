"""CPU time, the caller's and Redis', and how long commands take."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import redis

from benchmarks.table import progress

_PYTHONS_THRESHOLDS = gc.get_threshold()

Action = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """What one run of something costs."""

    client_ms: float
    redis_ms: float
    commands: int


class Meter:
    """Measures actions against one Redis that nobody else uses."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(port=port)

    def cost(self, action: Action) -> Cost:
        """One run. The meter's own INFO call is taken off the commands."""
        before = self._server()
        client_ms = cpu_ms(action)
        after = self._server()
        return Cost(client_ms, (after[0] - before[0]) * 1000, int(after[1] - before[1]) - 1)

    def _server(self) -> tuple[float, float]:
        info = self._client.execute_command("INFO", "everything")
        cpu = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
        return cpu, float(info["total_commands_processed"])


def cpu_ms(action: Action) -> float:
    """This process' CPU time."""
    before = time.process_time()
    action()
    return (time.process_time() - before) * 1000


def interleaved(
    port: int,
    actions: Mapping[str, Action],
    rounds: int,
    prepare: Mapping[str, Action] | None = None,
) -> dict[str, Cost]:
    """Medians; every round runs all, so that a noisy moment falls on all alike.

    What `prepare` has for an action is done before it, unmeasured.
    """
    for action in actions.values():
        action()
    meter = Meter(port)
    costs: dict[str, list[Cost]] = {name: [] for name in actions}
    for round_ in range(rounds):
        progress(f"round {round_ + 1} of {rounds}")
        for name, action in actions.items():
            if prepare and name in prepare:
                prepare[name]()
            costs[name].append(meter.cost(action))
    return {name: _median(found) for name, found in costs.items()}


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.client_ms for cost in costs),
        statistics.median(cost.redis_ms for cost in costs),
        int(statistics.median(cost.commands for cost in costs)),
    )


@contextlib.contextmanager
def pythons_own_thresholds() -> Iterator[None]:
    """The cycle collector as Python has it, for what others would write."""
    ours = gc.get_threshold()
    gc.set_threshold(*_PYTHONS_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*ours)


@dataclass(frozen=True)
class Commands:
    """How long single commands took."""

    longest_ms: float
    p99_ms: float
    """Of the kind of command for which it is greatest."""


def commands_of(port: int, action: Action, command: str = "") -> Commands:
    """Those of the action; of all kinds, or of one, but for those of the harness itself."""
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
