"""What a poll found: frozen facts, replaced whole and never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class QueueTable:
    """The queues as columns: `columns[fact][row]` belongs to `queues[row]`.

    Columns, because ten thousand queues are read, shown and summed as whole columns; a value is
    None where it could not be read or does not exist. `queues` stays the same object from poll to
    poll as long as the set of queues does.
    """

    queues: tuple[Queue, ...]
    columns: Mapping[str, Sequence[int | float | None]]
    versions: tuple[str, ...]
    """`library_version` of each row."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What INFO and DBSIZE say of the server; None where it hides the fact."""

    info: Mapping[str, str]
    """version, mode, role, maxmemory_policy, and `software` with its own version."""
    values: Mapping[str, float]
    """Numbers by the name that `collectors.server` gives them."""
    persistence_ok: Mapping[str, bool]
    """By kind, `rdb` and `aof`; a kind that is off is not in it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The last error of something, for the health page: its class, its text and Unix time."""

    kind: ErrorClass
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Report:
    """How a collector fares on a connection."""

    success: bool | None = None
    """None while it has not run, or where it is not supported or not permitted."""
    duration: float | None = None
    last_success: float | None = None
    """Unix time."""
    errors: Mapping[ErrorClass, int] = field(default_factory=dict)
    not_available: tuple[str, ...] = ()
    """Commands that are refused or unknown here."""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """A cumulative histogram: counts by upper bound, with the sum and the count of all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """Observations up to each bound."""
    sum: float
    count: int


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
    problem: Problem | None
    """The last fault of the connection; kept after it has recovered."""
    reports: Mapping[str, Report]
    facts: Mapping[type, Dated]

    def get(self, kind: type[Facts], now: float, stale_after: float) -> Facts | None:
        """Facts of that kind, or None if there are none or they are older than `stale_after`."""
        dated = self.facts.get(kind)
        if dated is None or now - dated.at > stale_after:
            return None
        return dated.facts if isinstance(dated.facts, kind) else None


def keyspace_owners(
    snapshots: Sequence[Snapshot], now: float, stale_after: float
) -> dict[str, str]:
    """For each connection, the first one in order that reaches the same keyspace.

    A keyspace that several connections reach is read once, through its owner. A connection that
    has not reached Redis for `stale_after` owns nothing but itself; until then its last samples
    are shown, and a second reader's would double them.
    """
    owners: dict[str, str] = {}
    firsts: list[tuple[Metadata, str]] = []
    for snapshot in snapshots:
        name, metadata = snapshot.connection, snapshot.metadata
        lost = snapshot.reached_at is None or now - snapshot.reached_at > stale_after
        if metadata is None or lost:
            owners[name] = name
            continue
        owner = next((first for known, first in firsts if known.same_keyspace(metadata)), name)
        owners[name] = owner
        if owner == name:
            firsts.append((metadata, name))
    return owners
