"""The facts that polls collect: immutable, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from exporter.bullmq import Queue
from exporter.connection import ErrorClass, Metadata
from exporter.state.failures import FailureClass
from exporter.state.unfinished_jobs import Audit

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Dated:
    """Facts with the monotonic time at which their collection ended."""

    facts: object
    at: float


@dataclass(frozen=True, slots=True)
class PrefixCount:
    """The queues that a discovery pass found under a prefix."""

    queues: int = 0
    """Queues that are watched."""
    dropped: int = 0
    """Queues that are not watched because of `queues.max` or their name."""
    keys: Mapping[str, int] = field(default_factory=dict)
    """Number of `meta`, `id` and `stalled-check` keys seen."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The queues to watch, and the counts by configured prefix."""

    queues: tuple[Queue, ...]
    prefixes: Mapping[str, PrefixCount]


class NativeBuckets(NamedTuple):
    """The buckets of a native histogram, as in `state.histogram`."""

    schema: int
    zeros: int
    """Number of observations that count as 0."""
    counts: Mapping[int, int]
    """Number of observations in each bucket that has any, by its index."""


class Exemplar(NamedTuple):
    """The job of one observation."""

    job_id: str
    """Short, printable, without quotes and backslashes."""
    seconds: float
    time: float
    """Unix time of the observation, by the server's clock."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A cumulative histogram: counts by upper bound, with the sum and count of all observations."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """Number of observations up to each bound."""
    sum: float
    count: int
    native: NativeBuckets | None = None
    """The same observations in native buckets, if these are kept."""
    exemplar: Exemplar | None = None
    """A recent observation that took long."""


@dataclass(frozen=True, slots=True)
class JobEvents:
    """What a queue's event stream reported about jobs since the exporter first saw it."""

    added: int
    started: int
    completed: int
    failed: int
    """Jobs that failed finally."""
    retried: int
    """Failed attempts after which the job is retried."""
    stalled: int
    duplicated: int
    """Adds that were ignored because a job with the same ID exists."""
    deduplicated: int
    """Adds that met a job with the same deduplication ID."""
    wait: Histogram
    runs: Mapping[str, Histogram]
    """Duration of runs by outcome: completed, failed, retried."""


@dataclass(frozen=True, slots=True)
class QueueEvents:
    """The events of one queue."""

    read: int
    """Number of events read."""
    lost: int
    """Number of events trimmed from the stream before they were read."""
    jobs: Mapping[str, JobEvents]
    """By job name; all jobs under the empty name if `events.job_names` is off."""
    last_added: float | None = None
    """Unix time by the server's clock when a job was last added, or of the last event that was not
    read, if that is later: no job was added since. None if nothing is known."""
    failures: Mapping[str, FailureClass] = field(default_factory=dict)
    """By class; empty if `events.failure_classes` is off."""
    audit: Audit | None = None
    """What the audit of its unfinished jobs found; None before the first."""


class SloCounts(NamedTuple):
    """How a queue has met an SLO since the exporter first saw it."""

    jobs: int = 0
    """Jobs that were judged: started, or ended, after a time that is known."""
    late_jobs: int = 0
    """Those of them that missed the target."""
    seconds: float = 0.0
    """Time in which it was known whether the queue was stuck beyond the target."""
    late_seconds: float = 0.0
    """Time of that in which a job was beyond the target and none was started, or ended."""


NOT_JUDGED: Final = SloCounts()


@dataclass(frozen=True, slots=True)
class SloFacts:
    """An SLO of a queue."""

    name: str
    objective: float
    """The share of jobs that must meet the target, 0 to 1."""
    target_seconds: float
    counts: SloCounts


@dataclass(frozen=True, slots=True)
class EventFacts:
    """The events of all queues that keep any."""

    queues: Mapping[Queue, QueueEvents]
    lag_seconds: float
    """Age of the oldest event not yet read when the pass ended."""
    inflight_dropped: int
    """Jobs whose start time was discarded to bound memory."""
    slos: Mapping[Queue, tuple[SloFacts, ...]] = field(default_factory=dict)
    """By queue that has any, and keeps events."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What INFO and DBSIZE report about the server; facts that it hides are missing."""

    info: Mapping[str, str]
    """version, mode, role, maxmemory_policy, and `software` with the version of the product."""
    values: Mapping[str, float]
    """Numbers by their name in `collectors.server`."""
    persistence_ok: Mapping[str, bool]
    """By kind, `rdb` and `aof`; a kind that is off is missing."""
    run_id: str = ""
    """ID of the server process, or its address if it hides its ID; empty for a cluster."""


@dataclass(frozen=True, slots=True)
class LastError:
    """The last error, for the health page: its class, its text and its Unix time."""

    kind: ErrorClass
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class CollectorReport:
    """The status of a collector on a connection."""

    success: bool | None = None
    """Whether the last run succeeded; None before the first, or if not supported or permitted."""
    duration: float | None = None
    last_success: float | None = None
    """Unix time."""
    errors: Mapping[ErrorClass, int] = field(default_factory=dict)
    oversized: int = 0
    """Number of values above a size limit, which were cut or skipped."""
    not_available: tuple[str, ...] = ()
    """Commands that are not permitted or not supported."""
    last_error: LastError | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a connection after its last poll."""

    connection: str
    at: float
    """Monotonic time of the poll's end."""
    time: float
    """Unix time of the poll's end."""
    up: bool
    """Whether the poll reached Redis."""
    reached_at: float | None
    """Monotonic time of the last poll that reached Redis."""
    metadata: Metadata | None
    """Of the current connection, or of the last one."""
    ping_seconds: float | None
    pings: Histogram
    reconnects: int
    last_error: LastError | None
    """The last failure of the connection; kept after it has recovered."""
    ping_refusal: LastError | None
    """The error with which the reached server answers PING: MISCONF if it refuses writes."""
    reports: Mapping[str, CollectorReport]
    facts: Mapping[type, Dated]
    since: float | None = None
    """Unix time since when the counters of the connection count, if that is known."""
    discovery_redis_seconds: float = 0.0
    """Redis' time for discovery so far, at a microsecond for each key that SCAN looks at."""

    def is_up(self, now: float, stale_after: float) -> bool:
        """Whether the last poll reached Redis and is no older than `stale_after` seconds."""
        return self.up and now - self.at <= stale_after

    def get(self, kind: type[Facts], now: float, stale_after: float) -> Facts | None:
        """Facts of that kind; None if there are none or `stale_after` seconds have passed."""
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
    """The result in words, for people."""
    error: ErrorClass | None = None
    """The class of the error reply that made it fail, if there was one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The result of the sync test for one writer and one reader."""

    writer: str
    reader: str
    checks: Mapping[str, Check]
    """By name, in the order of `SYNC_CHECKS`; checks skipped after a failure are missing."""
    not_permitted: str = ""
    """The command that an ACL refuses; the result is then unknown, not failed."""
    propagation_seconds: float | None = None
    """Time from the reply to the writer's SET until the reader saw the value."""
    seconds: float = 0.0
    time: float = 0.0
    """Unix time of the test's end."""
    runs: int = 0
    failures: int = 0
    since: float | None = None
    """Unix time before the first of these runs."""

    @property
    def passed(self) -> bool | None:
        """Whether every check passed; None if the test is not permitted."""
        if self.not_permitted:
            return None
        return all(self.checks[name].ok if name in self.checks else False for name in SYNC_CHECKS)


SYNC_CHECKS = ("writable", "set_get", "integrity", "ttl", "expiry", "same_database", "cleanup")


@dataclass(frozen=True, slots=True)
class Reload:
    """The outcome of loading the configuration, at start or by a reload."""

    successful: bool
    """Whether the last load succeeded."""
    success_time: float
    """Unix time of the last successful load."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The result of a sync test round over all pairs of connections."""

    at: float
    """Monotonic time of the round's end."""
    time: float
    """Unix time of the round's end."""
    seconds: float
    valid_seconds: float
    """Age at which the report is too old to be shown."""
    pairs: tuple[Pair, ...]
    metadata: Mapping[str, Metadata]
    """The server that each connection reached; connections that failed are missing."""

    def fresh(self, now: float) -> bool:
        """Whether the report may still be shown at that monotonic time."""
        return now - self.at <= self.valid_seconds

    def pair(self, writer: str, reader: str) -> Pair | None:
        """The result for this writer and reader; None if there is none."""
        found = (p for p in self.pairs if (p.writer, p.reader) == (writer, reader))
        return next(found, None)
