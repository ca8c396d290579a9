"""What there is to say of everything, the worst first: the page's verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from exporter.diagnosis import verdict
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered, ServerFacts, Snapshot
from exporter.views.formatting import age, counted, printable
from exporter.views.moment import Moment
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


def findings(moment: Moment, overview: Overview) -> list[Finding]:
    """Everything that is not as it should be, or the one finding that all is well."""
    found = [
        *_not_reached(moment),
        *_blocked(overview),
        *_out_of_sync(moment),
        *_not_read(moment),
        *_at_risk(moment),
        *_limits(moment),
        *_starting(moment, overview),
    ]
    return sorted(found, key=lambda finding: finding.level) or [_ok(moment, overview)]


def _not_reached(moment: Moment) -> Iterator[Finding]:
    lost = [snapshot for snapshot in moment.snapshots if not moment.is_up(snapshot)]
    if not lost:
        return
    several = len(moment.config.connections)
    headline = f"Redis is not reached: {_list([snapshot.connection for snapshot in lost])}"
    if several > 1:
        headline += f" ({len(lost)} of {several} connections)"
    yield Finding(Level.BAD, headline, tuple(_why_lost(each, moment) for each in lost[:_EXPLAINED]))


def _why_lost(snapshot: Snapshot, moment: Moment) -> str:
    why = "no poll has ended in time"
    if not snapshot.up and snapshot.last_error is not None:
        why = f"{snapshot.last_error.kind}: {printable(snapshot.last_error.text)}"
    if snapshot.reached_at is None:
        return f"{snapshot.connection}: never reached ({why})"
    shown = moment.facts(snapshot, QueueTable) is not None
    what = "its queues are shown as they were then" if shown else "its queues are not shown"
    since = age(moment.now - snapshot.reached_at)
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


def _out_of_sync(moment: Moment) -> Iterator[Finding]:
    if moment.sync is None:
        return
    # that a dead connection sees nothing is told already
    up = {snapshot.connection for snapshot in moment.snapshots if moment.is_up(snapshot)}
    pairs = [pair for pair in moment.sync.pairs if {pair.writer, pair.reader} <= up]
    if any(pair.passed is False for pair in pairs):
        text = printable(verdict(pairs, moment.sync.metadata))
        yield Finding(Level.BAD, "The sync test fails", (text,))


def _not_read(moment: Moment) -> Iterator[Finding]:
    owners = moment.owners
    for snapshot in moment.snapshots:
        report = snapshot.reports.get("queues")
        mine = owners[snapshot.connection] == snapshot.connection
        if not (mine and moment.is_up(snapshot)) or report is None or report.last_error is None:
            continue
        if report.success is not True:
            text = f"{report.last_error.kind}: {printable(report.last_error.text)}"
            headline = f"The queues of {snapshot.connection} cannot be read"
            yield Finding(Level.WARNING, headline, (text,))


def _at_risk(moment: Moment) -> Iterator[Finding]:
    for snapshot in moment.snapshots:
        server = moment.facts(snapshot, ServerFacts)
        if server is not None and server.values.get("eviction_safe") == 0:
            policy = printable(server.info.get("maxmemory_policy", ""))
            headline = f"The Redis of {snapshot.connection} may delete jobs"
            detail = f"its maxmemory-policy is {policy}; BullMQ needs noeviction"
            yield Finding(Level.WARNING, headline, (detail,))


def _limits(moment: Moment) -> Iterator[Finding]:
    if moment.reload is not None and not moment.reload.successful:
        detail = "the former configuration stays in force; the log says what is wrong"
        yield Finding(Level.WARNING, "The new configuration was refused", (detail,))
    dropped = sum(
        count.dropped
        for snapshot in moment.snapshots
        if (found := moment.facts(snapshot, Discovered)) is not None
        for count in found.prefixes.values()
    )
    if dropped:
        detail = "there are more than queues.max allows; raise it, or use shards"
        yield Finding(Level.WARNING, f"{counted(dropped, 'queue')} not watched", (detail,))


def _starting(moment: Moment, overview: Overview) -> Iterator[Finding]:
    tried = {snapshot.connection for snapshot in moment.snapshots}
    waiting = [name for name in moment.config.connections if name not in tried]
    if waiting:
        yield Finding(Level.STARTING, f"Starting: {_list(waiting)} not tried yet")
        return
    owners = moment.owners
    for snapshot in moment.snapshots:
        known = moment.facts(snapshot, QueueTable) is not None
        scanned = moment.facts(snapshot, Discovered) is not None
        mine = owners[snapshot.connection] == snapshot.connection
        if mine and moment.is_up(snapshot) and not (known and scanned):
            yield Finding(Level.STARTING, f"Looking for the queues of {snapshot.connection}")
            return
    if not overview.queues and any(map(moment.is_up, moment.snapshots)):
        prefixes = ", ".join(map(printable, moment.config.queues.prefixes))
        detail = f"none under the prefix {prefixes}; set queues.prefixes if yours is another"
        yield Finding(Level.STARTING, "No queue is found", (detail,))


def _ok(moment: Moment, overview: Overview) -> Finding:
    views = overview.queues
    ready = sum(view.ready for view in views)
    active = sum(view.jobs["active"] or 0 for view in views)
    detail = f"{counted(ready, 'job')} ready, {active:,} active"
    shard = moment.config.queues.shard
    count = counted(len(views), "queue") + (f" of shard {shard}" if shard else "")
    return Finding(Level.OK, f"All is well: {count}, none is blocked", (detail,))


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
