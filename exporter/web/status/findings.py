"""The findings at the top of the status page, the worst first. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from exporter.connection import ErrorClass
from exporter.diagnosis import one_node, verdict
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered, ServerFacts, Snapshot
from exporter.views.formatting import age, counted, printable
from exporter.views.moment import Moment
from exporter.views.overview import Overview

_MAX_NAMED: Final = 3
"""Names in a headline."""
_MAX_EXPLAINED: Final = 5
"""Details under a headline."""


class Level(IntEnum):
    """The severity of a finding, the worst first."""

    BAD = 0
    WARNING = 1
    STARTING = 2
    """Not known yet."""
    OK = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A headline, with details that help to resolve it."""

    level: Level
    headline: str
    details: tuple[str, ...] = ()


def findings(moment: Moment, overview: Overview) -> list[Finding]:
    """Every problem, the worst first; a single OK finding if there is none."""
    problems = [
        *_unreachable(moment),
        *_one_node(moment),
        *_refusing(moment),
        *_blocked(overview),
        *_out_of_sync(moment),
        *_not_read(moment),
        *_unsafe_eviction(moment),
        *_limits(moment),
        *_starting(moment, overview),
    ]
    return sorted(problems, key=lambda finding: finding.level) or [_ok(moment, overview)]


def _unreachable(moment: Moment) -> Iterator[Finding]:
    down = [snapshot for snapshot in moment.snapshots if not moment.is_up(snapshot)]
    if not down:
        return
    total = len(moment.config.connections)
    headline = f"Redis unreachable: {_list([snapshot.connection for snapshot in down])}"
    if total > 1:
        headline += f" ({len(down)} of {total} connections)"
    details = tuple(_why_down(snapshot, moment) for snapshot in down[:_MAX_EXPLAINED])
    yield Finding(Level.BAD, headline, details)


def _why_down(snapshot: Snapshot, moment: Moment) -> str:
    cause = "no poll has finished in time"
    if not snapshot.up and snapshot.last_error is not None:
        cause = f"{snapshot.last_error.kind}: {printable(snapshot.last_error.text)}"
    if snapshot.reached_at is None:
        return f"{snapshot.connection}: never reached ({cause})"
    shown = moment.facts(snapshot, QueueTable) is not None
    queues = "its queues are shown as of then" if shown else "its queues are not shown"
    since = age(moment.now - snapshot.reached_at)
    return f"{snapshot.connection}: last reached {since} ago; {queues} ({cause})"


def _one_node(moment: Moment) -> Iterator[Finding]:
    for snapshot in moment.snapshots:
        hint = one_node(snapshot)
        if hint is not None and moment.is_up(snapshot):
            headline = f"Only a part of the queues of {snapshot.connection} is read"
            yield Finding(Level.BAD, headline, (hint,))


def _refusing(moment: Moment) -> Iterator[Finding]:
    for snapshot in moment.snapshots:
        refusal = snapshot.ping_refusal
        if refusal is not None and moment.is_up(snapshot):
            what = "writes" if refusal.kind is ErrorClass.WRITES_REFUSED else "PING"
            headline = f"The Redis of {snapshot.connection} refuses {what}"
            yield Finding(Level.BAD, headline, (printable(refusal.text),))


def _blocked(overview: Overview) -> Iterator[Finding]:
    blocked = overview.blocked
    if not blocked:
        return
    total = counted(len(overview.queues), "queue")
    names = _blocked_names(overview)
    details = [
        f"{name}: {view.reason}, {printable(view.hint or '')}"
        for name, view in zip(names[:_MAX_EXPLAINED], blocked, strict=False)
    ]
    if len(blocked) > _MAX_EXPLAINED:
        details.append(f"and {len(blocked) - _MAX_EXPLAINED:,} more, at the top of the table")
    headline = f"{len(blocked):,} of {total} blocked: {_list(names)}"
    yield Finding(Level.BAD, headline, tuple(details))


def _blocked_names(overview: Overview) -> list[str]:
    """The blocked queues, with prefix and connection only if there are several."""
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
    # connections that are down have a finding of their own
    up = {snapshot.connection for snapshot in moment.snapshots if moment.is_up(snapshot)}
    pairs = [pair for pair in moment.sync.pairs if {pair.writer, pair.reader} <= up]
    if any(pair.passed is False for pair in pairs):
        text = printable(verdict(pairs, moment.sync.metadata))
        yield Finding(Level.BAD, "The sync test failed", (text,))


def _not_read(moment: Moment) -> Iterator[Finding]:
    owners = moment.owners
    for snapshot in moment.snapshots:
        report = snapshot.reports.get("queues")
        is_owner = owners[snapshot.connection] == snapshot.connection
        if not (is_owner and moment.is_up(snapshot)) or report is None or report.last_error is None:
            continue
        if report.success is not True:
            text = f"{report.last_error.kind}: {printable(report.last_error.text)}"
            headline = f"The queues of {snapshot.connection} cannot be read"
            yield Finding(Level.WARNING, headline, (text,))


def _unsafe_eviction(moment: Moment) -> Iterator[Finding]:
    for snapshot in moment.snapshots:
        server = moment.facts(snapshot, ServerFacts)
        if server is not None and server.values.get("eviction_safe") == 0:
            policy = printable(server.info.get("maxmemory_policy", ""))
            headline = f"The Redis of {snapshot.connection} may delete jobs"
            detail = f"its maxmemory-policy is {policy}; BullMQ requires noeviction"
            yield Finding(Level.WARNING, headline, (detail,))


def _limits(moment: Moment) -> Iterator[Finding]:
    if moment.reload is not None and not moment.reload.successful:
        detail = "the previous configuration stays in effect; the log lists the errors"
        yield Finding(Level.WARNING, "The new configuration was rejected", (detail,))
    dropped = sum(
        count.dropped
        for snapshot in moment.snapshots
        if (discovered := moment.facts(snapshot, Discovered)) is not None
        for count in discovered.prefixes.values()
    )
    if dropped:
        detail = (
            "there are more queues than queues.max allows, or their names are too long or not "
            "UTF-8; raise queues.max, use shards or rename them"
        )
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
        is_owner = owners[snapshot.connection] == snapshot.connection
        if is_owner and moment.is_up(snapshot) and not (known and scanned):
            yield Finding(Level.STARTING, f"Discovering the queues of {snapshot.connection}")
            return
    if not overview.queues and any(map(moment.is_up, moment.snapshots)):
        prefixes = ", ".join(map(printable, moment.config.queues.prefixes))
        detail = f"none under the prefix {prefixes}; set queues.prefixes if yours is different"
        yield Finding(Level.STARTING, "No queues found", (detail,))


def _ok(moment: Moment, overview: Overview) -> Finding:
    views = overview.queues
    ready = sum(view.ready for view in views)
    active = sum(view.jobs["active"] or 0 for view in views)
    detail = f"{counted(ready, 'job')} ready, {active:,} active"
    shard = moment.config.queues.shard
    count = counted(len(views), "queue") + (f" of shard {shard}" if shard else "")
    return Finding(Level.OK, f"All is well: {count}, none blocked", (detail,))


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
