"""What there is to say of everything, the worst first: the page's verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from exporter.config import Config
from exporter.diagnosis import verdict
from exporter.state.keyspaces import keyspace_owners
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered, Reload, ServerFacts, Snapshot, SyncReport
from exporter.views.formatting import age, counted, printable
from exporter.views.overview import Overview

_NAMED: Final = 3
"""Queues in a headline."""
_EXPLAINED: Final = 5
"""Queues with their reason under it."""


class Level(IntEnum):
    """How bad it is, the worst first."""

    BAD = 0
    WARNING = 1
    STARTING = 2
    """Not known yet."""
    OK = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A headline, and what helps with it."""

    level: Level
    headline: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the exporter knows at one moment."""

    config: Config
    snapshots: Sequence[Snapshot]
    overview: Overview
    sync: SyncReport | None
    """The last round of the sync test, unless it is too old."""
    reload: Reload | None
    now: float
    """Monotonic time."""

    @property
    def stale_after(self) -> float:
        """Seconds after which facts are not shown any more."""
        return self.config.poll.stale_after_seconds

    def is_up(self, snapshot: Snapshot) -> bool:
        """Whether its Redis is reached now."""
        return snapshot.is_up(self.now, self.stale_after)

    @property
    def owners(self) -> dict[str, str]:
        """Through which connection each connection's keyspace is read."""
        return keyspace_owners(self.snapshots, self.now, self.stale_after, self.sync)


def findings(seen: Seen) -> list[Finding]:
    """Everything that is not as it should be, or the one finding that all is well."""
    found = [
        *_not_reached(seen),
        *_blocked(seen.overview),
        *_out_of_sync(seen),
        *_not_read(seen),
        *_at_risk(seen),
        *_limits(seen),
        *_starting(seen),
    ]
    return sorted(found, key=lambda finding: finding.level) or [_well(seen)]


def _not_reached(seen: Seen) -> Iterator[Finding]:
    lost = [snapshot for snapshot in seen.snapshots if not seen.is_up(snapshot)]
    if not lost:
        return
    several = len(seen.config.connections)
    headline = f"Redis is not reached: {_list([snapshot.connection for snapshot in lost])}"
    if several > 1:
        headline += f" ({len(lost)} of {several} connections)"
    yield Finding(Level.BAD, headline, tuple(_why_lost(each, seen) for each in lost[:_EXPLAINED]))


def _why_lost(snapshot: Snapshot, seen: Seen) -> str:
    why = "no poll has ended in time"
    if not snapshot.up and snapshot.problem is not None:
        why = f"{snapshot.problem.kind}: {printable(snapshot.problem.text)}"
    if snapshot.reached_at is None:
        return f"{snapshot.connection}: never reached ({why})"
    shown = snapshot.get(QueueTable, seen.now, seen.stale_after) is not None
    what = "its queues are shown as they were then" if shown else "its queues are not shown"
    since = age(seen.now - snapshot.reached_at)
    return f"{snapshot.connection}: last reached {since} ago, {what} ({why})"


def _blocked(overview: Overview) -> Iterator[Finding]:
    blocked = overview.blocked
    if not blocked:
        return
    all_ = counted(len(overview.queues), "queue")
    names = _names(overview)
    is_ = "is" if len(blocked) == 1 else "are"
    details = [
        f"{name}: {view.reason}, {printable(view.hint or '')}"
        for name, view in zip(names[:_EXPLAINED], blocked, strict=False)
    ]
    if len(blocked) > _EXPLAINED:
        details.append(f"and {len(blocked) - _EXPLAINED:,} more, first in the table")
    headline = f"{len(blocked):,} of {all_} {is_} blocked: {_list(names)}"
    yield Finding(Level.BAD, headline, tuple(details))


def _names(overview: Overview) -> list[str]:
    """What is blocked, as much of it as tells one queue from another."""
    prefixes = {view.prefix for view in overview.queues}
    connections = {view.connection for view in overview.queues}
    return [
        printable(
            (f"{view.prefix}:" if len(prefixes) > 1 else "")
            + view.queue
            + (f" on {view.connection}" if len(connections) > 1 else "")
        )
        for view in overview.blocked
    ]


def _out_of_sync(seen: Seen) -> Iterator[Finding]:
    if seen.sync is None:
        return
    # that a dead connection sees nothing is told already
    up = {snapshot.connection for snapshot in seen.snapshots if seen.is_up(snapshot)}
    pairs = [pair for pair in seen.sync.pairs if {pair.writer, pair.reader} <= up]
    if any(pair.passed is False for pair in pairs):
        text = printable(verdict(pairs, seen.sync.metadata))
        yield Finding(Level.BAD, "The sync test fails", (text,))


def _not_read(seen: Seen) -> Iterator[Finding]:
    owners = seen.owners
    for snapshot in seen.snapshots:
        report = snapshot.reports.get("queues")
        mine = owners[snapshot.connection] == snapshot.connection
        if not (mine and seen.is_up(snapshot)) or report is None or report.problem is None:
            continue
        if report.success is not True:
            text = f"{report.problem.kind}: {printable(report.problem.text)}"
            headline = f"The queues of {snapshot.connection} cannot be read"
            yield Finding(Level.WARNING, headline, (text,))


def _at_risk(seen: Seen) -> Iterator[Finding]:
    for snapshot in seen.snapshots:
        server = snapshot.get(ServerFacts, seen.now, seen.stale_after)
        if server is not None and server.values.get("eviction_safe") == 0:
            policy = printable(server.info.get("maxmemory_policy", ""))
            headline = f"The Redis of {snapshot.connection} may delete jobs"
            detail = f"its maxmemory-policy is {policy}; BullMQ needs noeviction"
            yield Finding(Level.WARNING, headline, (detail,))


def _limits(seen: Seen) -> Iterator[Finding]:
    if seen.reload is not None and not seen.reload.successful:
        detail = "the former configuration stays in force; the log says what is wrong"
        yield Finding(Level.WARNING, "The new configuration was refused", (detail,))
    dropped = sum(
        count.dropped
        for snapshot in seen.snapshots
        if (found := snapshot.get(Discovered, seen.now, seen.stale_after)) is not None
        for count in found.prefixes.values()
    )
    if dropped:
        detail = "there are more than queues.max allows; raise it, or use shards"
        yield Finding(Level.WARNING, f"{counted(dropped, 'queue')} not watched", (detail,))


def _starting(seen: Seen) -> Iterator[Finding]:
    tried = {snapshot.connection for snapshot in seen.snapshots}
    waiting = [name for name in seen.config.connections if name not in tried]
    if waiting:
        yield Finding(Level.STARTING, f"Starting: {_list(waiting)} not tried yet")
        return
    owners = seen.owners
    for snapshot in seen.snapshots:
        known = snapshot.get(QueueTable, seen.now, seen.stale_after) is not None
        scanned = snapshot.get(Discovered, seen.now, seen.stale_after) is not None
        mine = owners[snapshot.connection] == snapshot.connection
        if mine and seen.is_up(snapshot) and not (known and scanned):
            yield Finding(Level.STARTING, f"Looking for the queues of {snapshot.connection}")
            return
    if not seen.overview.queues and any(map(seen.is_up, seen.snapshots)):
        prefixes = ", ".join(map(printable, seen.config.queues.prefixes))
        detail = f"none under the prefix {prefixes}; set queues.prefixes if yours is another"
        yield Finding(Level.STARTING, "No queue is found", (detail,))


def _well(seen: Seen) -> Finding:
    views = seen.overview.queues
    ready = sum(view.ready for view in views)
    active = sum(view.jobs["active"] or 0 for view in views)
    detail = f"{counted(ready, 'job')} ready, {active:,} active"
    shard = seen.config.queues.shard
    count = counted(len(views), "queue") + (f" of shard {shard}" if shard else "")
    return Finding(Level.OK, f"All is well: {count}, none is blocked", (detail,))


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
