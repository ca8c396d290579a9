"""Conditions of the alerts about queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from types import MappingProxyType
from typing import Any

from exporter.bullmq import Queue
from exporter.collectors.queues import STUCK
from exporter.collectors.queues.subjects.active import ACTIVE, OLDEST_ACTIVE
from exporter.collectors.queues.subjects.limits import PAUSED
from exporter.collectors.queues.subjects.scheduled import (
    DELAYED_OVERDUE_SECONDS,
    SCHEDULERS_OVERDUE_SECONDS,
)
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING
from exporter.config.models import Target
from exporter.diagnosis import (
    INTENDED,
    STUCK_HINTS,
    Database,
    Reason,
    full_in_seconds,
    hint,
)
from exporter.findings.model import Hit, Limits
from exporter.state.history import Counts, growth, slope, window
from exporter.state.queue_table import Column
from exporter.state.snapshots import EventFacts, ServerFacts
from exporter.state.stuck import StuckJob, StuckKind
from exporter.state.unfinished_jobs import Audit
from exporter.views.formatting import age, printable
from exporter.views.moment import Moment


def jobs_waiting(moment: Moment, limits: Limits) -> Iterator[Hit]:
    factor = limits.get("target_factor", 1.0)
    targets = _targets(moment, lambda target: target.wait_seconds, factor)
    yield from _above(moment, OLDEST_WAITING, limits, targets)


def delayed_overdue(moment: Moment, limits: Limits) -> Iterator[Hit]:
    yield from _above(moment, DELAYED_OVERDUE_SECONDS, limits)


def scheduler_overdue(moment: Moment, limits: Limits) -> Iterator[Hit]:
    yield from _above(moment, SCHEDULERS_OVERDUE_SECONDS, limits)


def active_job_too_long(moment: Moment, limits: Limits) -> Iterator[Hit]:
    targets = _targets(moment, lambda target: target.run_seconds)
    yield from _above(moment, OLDEST_ACTIVE, limits, targets, paused=True)


def _above(
    moment: Moment,
    column: Column[Any],
    limits: Limits,
    targets: Mapping[str, float] = MappingProxyType({}),
    *,
    paused: bool = False,
) -> Iterator[Hit]:
    """The queues above their target, else the limit; without paused ones unless `paused`."""
    default = limits["above_seconds"]
    for database in moment.databases:
        queues = database.table.queues
        values = zip(database.table.column(column), database.table.column(PAUSED), strict=True)
        found = [
            (row, value)
            for row, (value, is_paused) in enumerate(values)
            if value is not None
            and (paused or not is_paused)
            and value > (targets.get(queues[row].name, default) if targets else default)
        ]
        yield from _hits(database, found)


def _targets(
    moment: Moment, value_of: Callable[[Target], float | None], factor: float = 1.0
) -> dict[str, float]:
    """One kind of target, by the name of the queues that have it; multiplied by `factor`."""
    values = ((name, value_of(target)) for name, target in moment.targets.items())
    return {name: value * factor for name, value in values if value is not None}


def no_workers(moment: Moment, _: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        table = database.table
        totals = moment.worker_totals[database.connection]
        rows = zip(
            totals, table.known_ready, table.column(ACTIVE), table.column(PAUSED), strict=True
        )
        found = [
            (row, pending)
            for row, (total, ready, active, paused) in enumerate(rows)
            if total == 0 and (pending := ready + (active or 0)) and not paused
        ]
        yield from _stuck(moment, database, found)


def queue_blocked(moment: Moment, _: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        reasons = moment.diagnosis.reasons[database.connection]
        found = [
            (row, 1.0)
            for row, reason in enumerate(reasons)
            if reason is not None and reason not in INTENDED
        ]
        yield from _stuck(moment, database, found, reasons)


def stuck_jobs(moment: Moment, _: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        for kind, column in STUCK.items():
            for index, jobs in enumerate(database.table.column(column)):
                # due delayed jobs are those of `delayed_jobs_overdue`
                if jobs and kind is not StuckKind.DELAYED:
                    detail = _stuck_detail(jobs[0], moment.time)
                    labels = _labels(database, database.table.queues[index]) | {"kind": kind}
                    yield Hit(labels, len(jobs), detail, len(jobs))


def _stuck_detail(job: StuckJob, now: float) -> str:
    since = f", for {age(now - job.since)}" if job.since is not None else ""
    return f"{job.kind} {printable(job.id)}: {printable(job.proof)}{since}; {STUCK_HINTS[job.kind]}"


def jobs_vanished(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        facts = moment.facts(moment.known[database.connection], EventFacts)
        for queue, events in facts.queues.items() if facts is not None else ():
            if (audit := events.audit) is None:
                continue
            if audit.unaccounted is not None and audit.unaccounted > limits["above_jobs"]:
                detail = _vanished_detail(audit, moment.time)
                yield _hit_of(database, queue, audit.unaccounted, detail)
            elif audit.rolled_back is not None:
                since = moment.time - audit.rolled_back
                if since <= limits["window"]:
                    yield _hit_of(database, queue, 1.0, _rollback_detail(since))


def _vanished_detail(audit: Audit, now: float) -> str:
    jobs = audit.unaccounted or 0
    since = f" {age(now - audit.since)} ago" if audit.since is not None else ""
    text = f"{jobs:,} {'job' if jobs == 1 else 'jobs'} vanished{since}"
    if audit.evicted:
        return (
            f"{text}; Redis evicted {audit.evicted:,} keys meanwhile: set maxmemory-policy to "
            "noeviction, and add the jobs again"
        )
    if audit.rolled_back is not None:
        return f"{text}, and {_rollback_detail(now - audit.rolled_back)}"
    evicted = (
        "whether Redis evicted keys is unknown; if not,"
        if audit.evicted is None
        else "Redis evicted none of their keys:"
    )
    return (
        f"{text}; {evicted} somebody deleted keys or entries of lists without BullMQ; add the jobs "
        "again"
    )


def _rollback_detail(since: float) -> str:
    return (
        f"the event stream went back {age(since)} ago: an older copy of the data was restored, or "
        "a replica without the last writes was promoted; jobs added meanwhile are gone, and "
        "finished ones may run again"
    )


def queue_paused(moment: Moment, _: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        ages = database.table.column(OLDEST_WAITING)
        found = [(row, 1.0) for row, paused in enumerate(database.table.column(PAUSED)) if paused]
        for (row, _value), hit in zip(found, _hits(database, found), strict=True):
            yield hit._replace(oldest_seconds=ages[row])


def worker_isolation(moment: Moment, _: Limits) -> Iterator[Hit]:
    rows = {
        (database.connection, queue.prefix, queue.name): (database, index)
        for database in (moment.databases if moment.diagnosis.isolations else ())
        for index, queue in enumerate(database.table.queues)
    }
    for isolation in moment.diagnosis.isolations:
        labels = {
            "prefix": isolation.prefix,
            "queue": isolation.queue,
            "producer_connection": isolation.producer,
            "worker_connection": isolation.worker,
        }
        database, index = rows[isolation.producer, isolation.prefix, isolation.queue]
        for hit in _stuck(moment, database, [(index, 1.0)]):
            yield hit._replace(labels=labels)


def queue_silent(moment: Moment, _: Limits) -> Iterator[Hit]:
    silent = _targets(moment, lambda target: target.silent_seconds)
    for database in moment.databases if silent else ():
        facts = moment.facts(moment.known[database.connection], EventFacts)
        for queue, events in facts.queues.items() if facts is not None else ():
            target = silent.get(queue.name)
            if target is None or events.last_added is None:
                continue
            age = moment.time - events.last_added
            if age > target:
                yield _hit_of(database, queue, age)


def failure_ratio(moment: Moment, limits: Limits) -> Iterator[Hit]:
    targets = _targets(moment, lambda target: target.failure_ratio)
    yield from _failing(moment, limits, lambda name: targets.get(name, limits["above_ratio"]))


def very_high_failure_ratio(moment: Moment, limits: Limits) -> Iterator[Hit]:
    targets = _targets(moment, lambda target: target.failure_ratio)
    yield from _failing(
        moment, limits, lambda name: inf if name in targets else limits["above_ratio"]
    )


def _failing(moment: Moment, limits: Limits, limit_of: Callable[[str], float]) -> Iterator[Hit]:
    """The queues whose failure ratio is above the limit of their name."""
    for database, queue, grown in _grown(moment, limits):
        finished = grown.completed + grown.failed
        if finished and grown.failed > limits["above_jobs"]:
            ratio = grown.failed / finished
            if ratio > limit_of(queue.name):
                detail = f"{grown.failed:,} of {finished:,} jobs failed"
                yield _hit_of(database, queue, ratio, detail)


def jobs_stalled(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for database, queue, grown in _grown(moment, limits):
        if grown.stalled > limits["above_jobs"]:
            yield _hit_of(database, queue, grown.stalled)


def most_jobs_duplicated(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for database, queue, grown in _grown(moment, limits):
        if grown.duplicated <= limits["above_jobs"]:
            continue
        adds = grown.added + grown.duplicated
        if grown.duplicated / adds > limits["above_ratio"]:
            detail = f"{grown.duplicated:,} of {adds:,} adds ignored: the job ID exists"
            yield _hit_of(database, queue, grown.duplicated / adds, detail)


def event_gap(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        snapshot = moment.known[database.connection]
        facts = moment.facts(snapshot, EventFacts)
        queues = facts.queues if facts is not None else {}
        losing = [(queue, events.lost) for queue, events in queues.items() if events.lost]
        past = window(moment.past(snapshot), moment.now, limits["window"]) if losing else ()
        for queue, total in losing:
            first = next((entry for entry in past if queue in entry.queues), None)
            lost = growth(first.lost.get(queue, 0), total) if first is not None else 0
            if lost > 0:
                yield _hit_of(database, queue, lost)


def queue_not_draining(moment: Moment, limits: Limits) -> Iterator[Hit]:
    """Needs history: after a start, a window without a finished job proves nothing."""
    for database in moment.databases:
        snapshot, table = moment.known[database.connection], database.table
        facts = moment.facts(snapshot, EventFacts)
        past = window(moment.past(snapshot), moment.now, limits["window"])
        if facts is None or not past or moment.now - past[0].at < limits["for"]:
            continue
        first, grown = past[0].queues, moment.grown(database, limits["window"])
        rows = zip(table.queues, table.known_ready, table.column(PAUSED), strict=True)
        found = [
            (row, ready)
            for row, (queue, ready, paused) in enumerate(rows)
            if ready
            and not paused
            and queue in facts.queues
            and queue in first
            and not _finished(grown.get(queue))
        ]
        yield from _hits(database, found)


def _finished(grown: Counts | None) -> bool:
    """Whether any job has finished; without growth, none has."""
    return grown is not None and bool(grown.completed or grown.failed)


def backlog_growing(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        past = window(moment.past(moment.known[database.connection]), moment.now, limits["window"])
        if not past or moment.now - past[0].at < limits["window"] / 2:
            continue
        table = database.table
        rows = zip(table.known_ready, table.column(PAUSED), strict=True)
        large = [
            (row, ready)
            for row, (ready, paused) in enumerate(rows)
            if ready > limits["above_jobs"] and not paused
        ]
        found = []
        for row, ready in large:
            queue = table.queues[row]
            depths = [(entry.at, entry.ready.get(queue, 0)) for entry in past]
            if slope([*depths, (moment.now, ready)]) > 0:
                found.append((row, ready))
        yield from _hits(database, found)


def kept_jobs_fill_memory(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        snapshot, table = moment.known[database.connection], database.table
        server = moment.facts(snapshot, ServerFacts)
        past = window(moment.past(snapshot), moment.now, limits["window"])
        if server is None or not past or moment.now - past[0].at < limits["window"] / 2:
            continue
        full = full_in_seconds(past, server, moment.now, limits["window"])
        if full is None or full >= limits["below_seconds"]:
            continue
        for index, queue in enumerate(table.queues):
            kept = table.kept.of(index)
            known = [(entry.at, entry.kept.of(queue, index)) for entry in past]
            points = [(at, float(sum(each))) for at, each in known if each is not None]
            if kept is None or not points or sum(kept) <= points[0][1]:
                continue
            growth = slope([*points, (moment.now, float(sum(kept)))])
            if growth > limits["above_per_second"]:
                detail = (
                    f"{sum(kept) - points[0][1]:,.0f} more finished jobs are kept than "
                    f"{age(moment.now - points[0][0])} ago; at this rate, the memory of "
                    f"{database.connection} is full in {age(full)}"
                )
                yield _hit_of(database, queue, full, detail)


# --- shared --------------------------------------------------------------------------------------


def _hits(database: Database, found: Iterable[tuple[int, float]]) -> Iterator[Hit]:
    """A hit for each row of the database's table with its value."""
    table = database.table
    queues, ready, ages = table.queues, table.known_ready, table.column(OLDEST_WAITING)
    for row, value in found:
        yield Hit(_labels(database, queues[row]), value, "", ready[row] * (ages[row] or 1.0))


def _stuck(
    moment: Moment,
    database: Database,
    found: Iterable[tuple[int, float]],
    reasons: Sequence[Reason | None] | None = None,
) -> Iterator[Hit]:
    """As `_hits`, for queues of which nothing moves: why, and since when. If the `reasons` of all
    rows are given, theirs are labels."""
    ages = database.table.column(OLDEST_WAITING)
    rows = list(found)
    for (row, _), hit in zip(rows, _hits(database, rows), strict=True):
        labels = hit.labels
        if reasons is not None and (reason := reasons[row]) is not None:
            labels = {**labels, "reason": reason}
        yield Hit(labels, hit.value, partial(_why, moment, database, row), hit.impact, ages[row])


def _hit_of(database: Database, queue: Queue, value: float, detail: str = "") -> Hit:
    return Hit(_labels(database, queue), value, detail, value)


def _labels(database: Database, queue: Queue) -> dict[str, str]:
    return {"connection": database.connection, "prefix": queue.prefix, "queue": queue.name}


def _why(moment: Moment, database: Database, row: int) -> str:
    """The hint of the queue's reason; empty if it is not blocked."""
    reason = moment.diagnosis.reasons[database.connection][row]
    if reason is None:
        return ""
    queue = database.table.queues[row]
    return printable(hint(reason, database, queue, moment.diagnosis.isolations))


def _grown(moment: Moment, limits: Limits) -> Iterator[tuple[Database, Queue, Counts]]:
    """The queues with new events in the alert's window, and by how much their counters grew."""
    for database in moment.databases:
        for queue, counts in moment.grown(database, limits["window"]).items():
            yield database, queue, counts
