"""What a poll found: frozen facts, replaced whole and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from exporter.bullmq import Queue
from exporter.connection import ErrorClass, Metadata

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Dated:
    """Facts with the monotonic time at which they were complete."""

    facts: object
    at: float


@dataclass(frozen=True, slots=True)
class PrefixCount:
    """What a discovery pass found under a prefix."""

    queues: int = 0
    """Watched from now on."""
    dropped: int = 0
    """Found, but over `queues.max`."""
    keys: Mapping[str, int] = field(default_factory=dict)
    """How many `meta`, `id` and `stalled-check` keys were seen."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The queues to watch, and the count for each configured prefix."""

    queues: tuple[Queue, ...]
    prefixes: Mapping[str, PrefixCount]


@dataclass(frozen=True, slots=True)
class WorkerCount:
    """The workers of a queue, as connections in CLIENT LIST."""

    total: int
    idle: int
    """Blocked: with a free slot, waiting for work. The others are busy, or hang."""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """The workers of every queue that has any."""

    counts: Mapping[Queue, WorkerCount]

    def of(self, queue: Queue) -> WorkerCount:
        """The queue's workers, none where it has none."""
        return self.counts.get(queue, _NO_WORKERS)


_NO_WORKERS = WorkerCount(0, 0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A cumulative histogram: counts by upper bound, with the sum and the count of all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """Observations up to each bound."""
    sum: float
    count: int


@dataclass(frozen=True, slots=True)
class JobEvents:
    """What a queue's event stream has told of its jobs since the exporter saw it first."""

    added: int
    started: int
    completed: int
    failed: int
    """For good."""
    retried: int
    """Attempts after which the job went back."""
    stalled: int
    wait: Histogram
    runs: Mapping[str, Histogram]
    """By outcome: completed, failed, retried."""


@dataclass(frozen=True, slots=True)
class QueueEvents:
    """A queue's event stream."""

    read: int
    """Events read."""
    lost: int
    """Trimmed from the stream before they were read."""
    jobs: Mapping[str, JobEvents]
    """By job name; all under the empty one where names are not told apart."""


@dataclass(frozen=True, slots=True)
class EventFacts:
    """The events of every queue that keeps any."""

    queues: Mapping[Queue, QueueEvents]
    lag_seconds: float
    """Age of the oldest event not yet read when the pass ended."""
    inflight_dropped: int
    """Jobs whose start was forgotten to keep memory bounded."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What INFO and DBSIZE say of the server; None where it hides the fact."""

    info: Mapping[str, str]
    """version, mode, role, maxmemory_policy, and `software` with its own version."""
    values: Mapping[str, float]
    """Numbers by the name that `collectors.server` gives them."""
    persistence_ok: Mapping[str, bool]
    """By kind, `rdb` and `aof`; a kind that is off is not in it."""
    run_id: str = ""
    """Of the server; empty for a cluster."""


@dataclass(frozen=True, slots=True)
class LastError:
    """The last error of something, for the health page: its class, its text and Unix time."""

    kind: ErrorClass
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class CollectorReport:
    """How a collector fares on a connection."""

    success: bool | None = None
    """None while it has not run, or where it is not supported or not permitted."""
    duration: float | None = None
    last_success: float | None = None
    """Unix time."""
    errors: Mapping[ErrorClass, int] = field(default_factory=dict)
    not_available: tuple[str, ...] = ()
    """Commands that are refused or unknown here."""
    last_error: LastError | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A connection as of its last poll."""

    connection: str
    at: float
    """Monotonic time of the poll's end."""
    time: float
    """Unix time of the same moment."""
    up: bool
    reached_at: float | None
    """Monotonic time of the last poll that reached Redis."""
    metadata: Metadata | None
    """Of the connection in use, or of the last one."""
    ping_seconds: float | None
    pings: Histogram
    reconnects: int
    last_error: LastError | None
    """The last fault of the connection; kept after it has recovered."""
    reports: Mapping[str, CollectorReport]
    facts: Mapping[type, Dated]

    def is_up(self, now: float, stale_after: float) -> bool:
        """Whether the last poll reached Redis, and is not older than `stale_after`."""
        return self.up and now - self.at <= stale_after

    def get(self, kind: type[Facts], now: float, stale_after: float) -> Facts | None:
        """Facts of that kind, or None if there are none or they are older than `stale_after`."""
        dated = self.facts.get(kind)
        if dated is None or now - dated.at > stale_after:
            return None
        return dated.facts if isinstance(dated.facts, kind) else None


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the sync test."""

    ok: bool
    seconds: float
    detail: str
    """What was found, in words."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What the sync test found for one writer and one reader."""

    writer: str
    reader: str
    checks: Mapping[str, Check]
    """By name, in the order of `SYNC_CHECKS`; those that a failure made pointless are missing."""
    not_permitted: str = ""
    """The command that an ACL refuses; nothing is known then, and nothing is wrong."""
    propagation_seconds: float | None = None
    """From the writer's confirmed SET until the reader saw the value."""
    seconds: float = 0.0
    time: float = 0.0
    """Unix time of its end."""
    runs: int = 0
    failures: int = 0

    @property
    def passed(self) -> bool | None:
        """Whether every check passed; None where the test is not permitted."""
        if self.not_permitted:
            return None
        return all(self.checks[name].ok if name in self.checks else False for name in SYNC_CHECKS)


SYNC_CHECKS = ("writable", "set_get", "integrity", "ttl", "expiry", "same_database", "cleanup")


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of the configuration."""

    successful: bool
    """Whether it was taken when it was read last."""
    success_time: float
    """Unix time at which one was taken."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """A round of the sync test over all pairs of connections."""

    at: float
    """Monotonic time of the round's end."""
    time: float
    """Unix time of the same moment."""
    seconds: float
    good_for: float
    """Seconds after which it is too old to be shown."""
    pairs: tuple[Pair, ...]
    metadata: Mapping[str, Metadata]
    """Whom each connection reached; one that reached nobody is missing."""

    def fresh(self, now: float) -> bool:
        """Whether it may still be shown at that monotonic time."""
        return now - self.at <= self.good_for

    def pair(self, writer: str, reader: str) -> Pair | None:
        """The result for these two."""
        found = (p for p in self.pairs if (p.writer, p.reader) == (writer, reader))
        return next(found, None)
