"""The exporter's process under three loads, beside what users could run instead of it.

At rest, jobs wait for their time, and finished ones are kept. Blocked, every queue has ready jobs
and no worker: an incident. Moving, every queue has twenty new events at each poll. All jobs have
their hashes.
"""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import redis

from benchmarks import data, floor
from benchmarks.bystander import ping_p99_ms
from benchmarks.jobs import Jobs
from benchmarks.measure import Meter, cpu_ms, default_gc_thresholds
from benchmarks.phases import PHASES
from benchmarks.processes import (
    INSTALL_HINT,
    Commanded,
    CommandedExporter,
    bullmq_exporter,
    commanded_exporter,
)
from benchmarks.server import private_redis
from benchmarks.table import Line, Note, progress

_SETTLING_POLLS: Final = 14
"""Polls after which the settings of all queues have been read, and their jobs audited."""
_WORKERS: Final = 200
_VISITORS: Final = 10
_TARGET_QUEUES: Final = 10_000
_COMMANDS: Final = 5
"""Commands that a line names, those that cost Redis most."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load, with its targets."""

    name: str
    poll: float
    """Most CPU of the poll itself, compared with the floor's."""
    process: float
    """Most CPU of the process, compared with BullMQ's own exporter."""
    redis: float
    """Most CPU of Redis, compared with BullMQ's own exporter."""
    resident_mb: float | None


REST: Final = Load("at rest", poll=8, process=1 / 10, redis=1 / 2, resident_mb=150)
BLOCKED: Final = Load("blocked", poll=10, process=1 / 8, redis=1 / 2, resident_mb=None)
MOVING: Final = Load("moving", poll=15, process=1 / 3, redis=2 / 3, resident_mb=200)


@dataclass(slots=True)
class _Rounds:
    """What each round has measured, in CPU milliseconds."""

    phases: list[dict[str, float]] = field(default_factory=list)
    """Of the exporter; with the whole process."""
    redis: list[float] = field(default_factory=list)
    commands: Counter[str] = field(default_factory=Counter)
    """Redis' time by command, in all rounds."""
    floor: list[float] = field(default_factory=list)
    redis_py: list[float] = field(default_factory=list)
    redis_py_redis: list[float] = field(default_factory=list)
    bullmq: list[float] = field(default_factory=list)
    bullmq_redis: list[float] = field(default_factory=list)

    def phase(self, name: str) -> float:
        """The median of a phase."""
        return statistics.median(phases[name] for phases in self.phases)


def load_lines(sizes: Sequence[int], rounds: int, interval: float) -> list[Line | Note]:
    """Measure all loads at each number of queues; the targets are for ten thousand."""
    lines: list[Line | Note] = []
    for queues in sizes:
        with private_redis() as port:
            lines += _Bench(port, queues, rounds, interval).lines(targets=queues >= _TARGET_QUEUES)
    return lines


class _Bench:
    """One number of queues in its own Redis."""

    def __init__(self, port: int, queues: int, rounds: int, interval: float) -> None:
        self._port = port
        self._queues = queues
        self._rounds = rounds
        self._interval = interval
        self._meter = Meter(port)
        self._redis = redis.Redis(port=port)

    def lines(self, *, targets: bool) -> list[Line | Note]:
        progress(f"creating {self._queues:,} queues with the hashes of all jobs")
        jobs = Jobs(self._port, self._queues)
        jobs.rest()
        keys = self._redis.dbsize()
        found: list[Line | Note] = [Note(f"{self._queues:,} queues")]
        with (
            bullmq_exporter(self._port) as peer,
            commanded_exporter(self._port, self._interval) as exporter,
        ):
            if peer is None:
                found.append(Note(f"BullMQ's own exporter is not installed: {INSTALL_HINT}"))
            bench = _Measurement(self._port, exporter, peer, self._meter)
            _settle(bench)
            for load, before in (
                (REST, _nothing),
                (BLOCKED, _nothing),
                (MOVING, jobs.move),
            ):
                progress(f"{self._queues:,} queues {load.name}")
                if load is BLOCKED:
                    jobs.block()
                    _settle(bench)  # these jobs have come without events: all are counted again
                with self._workers(load):
                    result = self._measure(bench, before)
                    ping = ping_p99_ms(self._port, self._interval, bench.interval)
                found += _lines(load, result, exporter.resident_mb, ping, targets=targets)
                if load is MOVING:
                    lag = exporter.value("bullmq_exporter_events_lag_seconds")
                    found.append(Line("- how old the oldest unread event is", lag, "s", None))
                if load is BLOCKED:
                    found += self._visited(exporter, targets=targets)
        found.append(Note(f"- {keys:,} keys at rest, {self._redis.dbsize():,} at the end"))
        jobs.close()
        return found

    def _visited(self, exporter: CommandedExporter, *, targets: bool) -> Iterator[Line | Note]:
        visits = [exporter.slowest_healthy_ms(_VISITORS) for _ in range(self._rounds)]
        slowest, failed = statistics.median(ms for ms, _ in visits), sum(no for _, no in visits)
        name = f"- slowest /-/healthy, {_VISITORS} times /health/queues at once"
        yield Line(name, slowest, "ms", 100 if targets else None)
        if failed:
            yield Note(f"- of {_VISITORS * self._rounds} requests for all queues, {failed} failed")

    def _measure(self, bench: _Measurement, before: Callable[[], None]) -> _Rounds:
        result = _Rounds()
        for _ in range(2):  # what a load changes at first is not what it costs
            before()
            bench.interval()
        for _ in range(self._rounds):
            before()
            bench.measure(result)
        return result

    @contextlib.contextmanager
    def _workers(self, load: Load) -> Iterator[None]:
        if load is BLOCKED:
            yield
            return
        workers = data.add_workers(self._port, min(self._queues, _WORKERS))
        yield
        for worker in workers:
            worker.close()


def _nothing() -> None:
    pass


def _settle(bench: _Measurement) -> None:
    for _ in range(_SETTLING_POLLS):
        bench.interval()


class _Measurement:
    """The exporter and its peers, each measured once in a round."""

    def __init__(
        self, port: int, exporter: CommandedExporter, peer: Commanded | None, meter: Meter
    ) -> None:
        self.exporter = exporter
        self._peer = peer
        self._meter = meter
        self._redis = redis.Redis(port=port)
        self._floor = floor.reading(port)
        self._redis_py = floor.redis_py(port)
        self._floor()
        if peer is not None:
            peer.ask("export")

    def interval(self) -> None:
        """A poll, the discovery after it, and a scrape."""
        self.exporter.ask("interval")
        self.exporter.scrape()

    def measure(self, rounds: _Rounds) -> None:
        """A round of all."""
        before, commands = self.exporter.ask("report"), self._command_ms()
        rounds.redis.append(self._meter.cost(self.interval).redis_ms)
        after = self.exporter.ask("report")
        rounds.phases.append({name: ms - before[name] for name, ms in after.items()})
        rounds.commands.update(self._command_ms())
        rounds.commands.subtract(commands)
        rounds.floor.append(cpu_ms(self._floor))
        with default_gc_thresholds():
            pipeline = self._meter.cost(self._redis_py)
        rounds.redis_py.append(pipeline.client_ms)
        rounds.redis_py_redis.append(pipeline.redis_ms)
        if (peer := self._peer) is not None:
            replies: list[dict[str, float]] = []
            cost = self._meter.cost(lambda: replies.append(peer.ask("export")))
            rounds.bullmq.append(replies[0]["cpu_ms"])
            rounds.bullmq_redis.append(cost.redis_ms)

    def _command_ms(self) -> Counter[str]:
        """Redis' time by command so far, without that for the benchmark itself."""
        found = self._redis.info("commandstats")
        own = ("cmdstat_info", "cmdstat_config")
        return Counter(
            {
                name.removeprefix("cmdstat_").upper(): stats["usec"] / 1000
                for name, stats in found.items()
                if not name.startswith(own)
            }
        )


def _lines(
    load: Load, rounds: _Rounds, resident_mb: float, ping_ms: float, *, targets: bool
) -> Iterator[Line | Note]:
    def target(value: float | None) -> float | None:
        return value if targets else None

    process, redis_ms = rounds.phase("process"), statistics.median(rounds.redis)
    yield Line(f"{load.name}: CPU of the process for each interval", process, "ms", None)
    base = statistics.median(rounds.floor)
    yield Line("- the poll, and the floor", rounds.phase("poll"), "ms", target(load.poll), base)
    for phase in PHASES[1:]:
        yield Line(f"- {phase}", rounds.phase(phase), "ms", None)
    pipeline = statistics.median(rounds.redis_py)
    yield Line("- the process, and a redis-py pipeline", process, "ms", None, pipeline)
    if rounds.bullmq:
        own = statistics.median(rounds.bullmq)
        wanted = target(load.process)
        yield Line("- the process, and BullMQ's own exporter", process, "ms", wanted, own)
    yield Line(f"{load.name}: Redis CPU for each interval", redis_ms, "ms", None)
    pipeline = statistics.median(rounds.redis_py_redis)
    yield Line("- and a redis-py pipeline", redis_ms, "ms", None, pipeline)
    if rounds.bullmq:
        own = statistics.median(rounds.bullmq_redis)
        yield Line("- and BullMQ's own exporter", redis_ms, "ms", target(load.redis), own)
    yield Note(f"- by command: {_shares(rounds.commands)}")
    yield Line(f"{load.name}: resident memory", resident_mb, "MB", target(load.resident_mb))
    yield Line(f"{load.name}: another client's PING, p99", ping_ms, "ms", None)


def _shares(commands: Counter[str]) -> str:
    total = commands.total() or 1.0
    return ", ".join(
        f"{name} {ms / total:.0%}" for name, ms in commands.most_common(_COMMANDS) if ms > 0
    )
