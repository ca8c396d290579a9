"""Every finding is an alert and every alert a finding, as Prometheus itself evaluates the alerts.

A course is the past of an exporter around one incident, a page a minute: values at an alert's
threshold, then beyond it for longer than the alert waits, then at it again. Prometheus gets the
pages as if it had scraped them and evaluates every rule for every minute; the exporter's findings
of that minute are compared with the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from exporter.bullmq import queue_of
from exporter.connection import ErrorClass
from exporter.exposition import Format, PageWriter, Variant
from exporter.findings import verdict_of
from exporter.findings.conditions import CONDITIONS, NO_CONDITION
from exporter.rules.alerts import BY_NAME
from exporter.rules.render import groups, rules_file
from exporter.state.snapshots import (
    CollectorReport,
    Dated,
    EventFacts,
    LastError,
    Reload,
    ServerFacts,
    Snapshot,
    SyncReport,
)
from exporter.state.store import SnapshotStore
from exporter.state.stuck import StuckJob, StuckKind
from exporter.state.unfinished_jobs import Audit
from exporter.state.workers import WorkerCount
from exporter.views.moment import moment_of
from tests.support.backfill import STEP_SECONDS, backfilled
from tests.support.factories import config, queue_events, refused, snapshot, stuck, sync_report
from tests.support.pages import Samples, parse
from tests.support.prometheus import Prometheus
from tests.support.stopped_clock import StoppedClock
from tests.support.verdicts import NEEDS_HISTORY, TARGET_LABELS, Found, found_by_exporter

MAIL = ("bull", "mail")
HERE: Mapping[tuple[str, str], WorkerCount] = {MAIL: WorkerCount(1, 0)}
BUSY: Mapping[str, Any] = {
    "active": 1,
    "active_locked": 1,
    "worker_alive": 1,
    "rate_limited": 0,
    "paused": 0,
    "library_version": "bullmq:5.0.0",
}
PARENT = StuckJob(StuckKind.PARENT, "p", 1.0, "of its children, 2 failed for good")
SILENT_SECONDS = 600
EDGE_MINUTES = 4
"""A window of the exporter may start 150 s before Prometheus' one, which extrapolates."""


@dataclass(frozen=True)
class Now:
    """The place of a minute in its course."""

    wrong: bool
    """Whether it is part of the incident."""
    minute: int
    """Minutes since the start of the course."""
    wrong_minutes: int
    """Minutes of the incident so far."""


@dataclass(frozen=True)
class Known:
    """What an exporter knows in one minute."""

    snapshots: tuple[Snapshot, ...]
    sync: SyncReport | None = None
    reload: Reload | None = None
    render_failures: int = 0


def one(
    columns: Mapping[str, Any] | None = None,
    *,
    events: Mapping[str, Any] | None = None,
    lag: float = 0.0,
    workers: Mapping[tuple[str, str], WorkerCount] = HERE,
    **more: Any,
) -> Known:
    """A connection with a queue, of which these columns and totals of events are known."""
    known = snapshot("api", {MAIL: columns or {}}, workers=workers, **more)
    queues = {queue_of(*MAIL): queue_events(**events)} if events is not None else {}
    facts = {**known.facts, EventFacts: Dated(EventFacts(queues, lag, 0), known.at)}
    return Known((replace(known, facts=facts),))


def busy(**columns: Any) -> Known:
    return one({**BUSY, **columns})


def report(collector: str, **facts: Any) -> Known:
    known = {"success": True, "duration": 0.1, "last_success": time.time()}
    return one(reports={collector: CollectorReport(**known | facts)})


def server(values: Mapping[str, float], persistence: Mapping[str, bool] | None = None) -> Known:
    return one(server=ServerFacts({"maxmemory_policy": "noeviction"}, values, persistence or {}))


def idle_workers(now: Now) -> Known:
    """Ready jobs that none of the idle workers takes."""
    columns = {**BUSY, **stuck(now.minute * 60.0 + 100), "active": 0, "active_locked": None}
    waiting = {"waiting": 0, "ready_since": None, "still_since": None}
    return one({**columns, **({} if now.wrong else waiting)}, workers={MAIL: WorkerCount(1, 1)})


def isolated(now: Now) -> Known:
    """Jobs on one connection, whose worker listens on another."""
    columns = stuck() if now.wrong else {"waiting": 0, "has_id": 1}
    jobs = snapshot("api", {MAIL: {**columns, "paused": 0}})
    worker = snapshot("worker", {MAIL: {"has_id": 0, "paused": 0}}, workers=HERE)
    return Known((jobs, worker))


def sync_test(now: Now) -> Known:
    both = tuple(snapshot(name, {MAIL: {}}) for name in ("api", "worker"))
    return Known(both, sync_report(["api", "worker"], [("api", "worker")] if now.wrong else []))


def duplicates(now: Now) -> Known:
    wrong, right = now.wrong_minutes, now.minute - now.wrong_minutes
    added = 100 * right + 10 * wrong
    return one(events={"added": added, "duplicated": 50 * right + 90 * wrong})


def failures(share: float) -> Callable[[Now], Known]:
    """Fewer than one job in twenty fails, then this share."""

    def course(now: Now) -> Known:
        wrong, right = now.wrong_minutes, now.minute - now.wrong_minutes
        failed = 4 * right + int(100 * share) * wrong
        return one(events={"completed": 100 * now.minute - failed, "failed": failed})

    return course


COURSES: Mapping[str, Callable[[Now], Known]] = {
    "PageNotRendered": lambda now: replace(busy(), render_failures=now.wrong_minutes),
    "ConfigReloadFailed": lambda now: replace(busy(), reload=Reload(not now.wrong, 1.0)),
    "RedisUnreachable": lambda now: (
        one(up=False, last_error=refused()) if now.wrong else one(ping_seconds=0.001)
    ),
    "CollectionStale": lambda now: report("events", last_success=time.time() - 180 - now.wrong),
    "CollectionErrors": lambda now: report(
        "events", errors={ErrorClass.PROTOCOL: 1 + now.wrong_minutes}
    ),
    "DiscoveryRefused": lambda now: report(
        "discovery", not_available=("scan",) if now.wrong else ()
    ),
    "CommandsRefused": lambda now: report("queues", not_available=("llen",) if now.wrong else ()),
    "NoQueuesFound": lambda now: Known((snapshot(),)) if now.wrong else busy(),
    "QueuesDropped": lambda now: one(dropped=int(now.wrong)),
    "EventsLagging": lambda now: one(lag=60.0 + now.wrong),
    "EventGap": lambda now: one(events={"added": now.minute, "lost": now.wrong_minutes}),
    "JobsWaitingTooLong": lambda now: busy(waiting=5, oldest_waiting_seconds=300 + now.wrong),
    "JobsWaitingFarTooLong": lambda now: busy(waiting=5, oldest_waiting_seconds=3600 + now.wrong),
    "QueueNotDraining": lambda now: one(
        {**BUSY, "waiting": 5}, events={"completed": 10 * (now.minute - now.wrong_minutes)}
    ),
    "BacklogGrowing": lambda now: one(
        {**BUSY, "waiting": 1000 + 10 * now.wrong_minutes if now.wrong else 1000},
        events={"completed": 100 * now.minute},
    ),
    "KeptJobsFillMemory": lambda now: one(
        {**BUSY, "completed": 100 * now.wrong_minutes},
        server=ServerFacts(
            {},
            {"memory_used_bytes": 5000.0 + now.wrong_minutes, "memory_max_bytes": 10_000.0},
            {},
        ),
    ),
    "NoWorkers": lambda now: one(
        {**stuck(), "paused": 0}, workers={} if now.wrong else {MAIL: WorkerCount(1, 0)}
    ),
    "StuckJobs": lambda now: busy(
        stuck_parents_examples=(PARENT,) * now.wrong, stuck_parents=int(now.wrong)
    ),
    "JobsVanished": lambda now: one(
        {**BUSY}, events={"added": now.minute, "audit": Audit(3 * now.wrong, evicted=None)}
    ),
    "QueuePausedTooLong": lambda now: busy(paused=int(now.wrong)),
    "QueueSilent": lambda now: one(
        events={"added": 1, "last_added": time.time() - SILENT_SECONDS - now.wrong}
    ),
    "HighFailureRatio": failures(0.3),
    "VeryHighFailureRatio": failures(0.9),
    "JobsStalled": lambda now: one(events={"added": now.minute, "stalled": now.wrong_minutes}),
    "MostJobsDuplicated": duplicates,
    "DelayedJobsOverdue": lambda now: busy(delayed=1, delayed_overdue_seconds=120 + now.wrong),
    "SchedulerOverdue": lambda now: busy(schedulers_overdue_seconds=300 + now.wrong),
    "ActiveJobTooLong": lambda now: busy(oldest_active_seconds=3600 + now.wrong),
    "RedisWritesRefused": lambda now: one(
        ping_refusal=LastError(ErrorClass.WRITES_REFUSED, "MISCONF x", 0.0) if now.wrong else None
    ),
    "RedisPersistenceFailing": lambda now: server({}, {"rdb": not now.wrong}),
    "RedisEvictionPolicyUnsafe": lambda now: server({"eviction_safe": float(not now.wrong)}),
    "RedisKeysEvicted": lambda now: server({"evicted_keys": 5.0 + now.wrong_minutes}),
    "RedisMemoryNearLimit": lambda now: server(
        {"memory_used_bytes": 85.0 + now.wrong, "memory_max_bytes": 100.0}
    ),
    "RedisReplicaLinkDown": lambda now: server({"master_link_up": float(not now.wrong)}),
    "RedisClientsNearLimit": lambda now: server(
        {"connected_clients": 90.0 + now.wrong, "max_clients": 100.0}
    ),
    "RedisClientsRejected": lambda now: server({"rejected_connections": 5.0 + now.wrong_minutes}),
    "WorkerIsolation": isolated,
    "SyncTestFailing": sync_test,
    "QueueBlocked": idle_workers,
}
"""By the alert that must be the cause of everything else that fires."""


def chance(seed: int) -> Callable[[Now], Known]:
    """Values on both sides of every threshold, in any combination; others in each part."""
    totals = dict.fromkeys(("added", "completed", "failed", "stalled", "duplicated", "lost"), 0)
    errors = {ErrorClass.TIMEOUT: 0}
    counters = dict.fromkeys(("evicted_keys", "rejected_connections"), 0.0)

    def course(now: Now) -> Known:
        part = now.minute // PART_MINUTES
        draw = Random(f"{seed} {part}").choice  # noqa: S311 - to repeat a failure
        columns: dict[str, Any] = {
            "waiting": draw((None, 0, 3, 1500)),
            "prioritized": draw((0, 0, 2)),
            "active": draw((None, 0, 1)),
            "paused": draw((None, 0, 0, 1)),
            "active_locked": draw((None, 0, 1)),
            "worker_alive": draw((None, 0, 1)),
            "rate_limited": draw((None, 0, 1)),
            "has_id": draw((None, 0, 1)),
            "library_version": draw((None, "bullmq:5.0.0")),
            "concurrency_limit": draw((None, 1)),
            "oldest_waiting_seconds": draw((None, 5.0, 300.0, 301.0, 3601.0)),
            "oldest_active_seconds": draw((None, 3600.0, 3601.0)),
            "delayed_overdue_seconds": draw((None, 120.0, 121.0)),
            "schedulers_overdue_seconds": draw((None, 300.0, 301.0)),
        }
        if columns["waiting"] or columns["prioritized"]:
            since = time.monotonic() - draw((10.0, 100.0))
            columns |= {"ready_since": since, "still_since": draw((None, since))}
        for name in totals:
            totals[name] += draw((0, 300 if name == "duplicated" else 100))
        for name in counters:
            counters[name] += draw((0.0, 0.0, 10.0))
        values: dict[str, float] = {
            **counters,
            "memory_used_bytes": draw((85.0, 86.0)),
            "memory_max_bytes": draw((0.0, 100.0)),
            "eviction_safe": draw((0.0, 1.0)),
            "master_link_up": draw((0.0, 1.0)),
        }
        refused_commands = draw(((), ("llen",)))
        succeeded = time.time() - draw((0, 181))
        errors[ErrorClass.TIMEOUT] += draw((0, 1))
        return one(
            columns,
            events={**totals, "audit": draw((None, Audit(0), Audit(2), Audit(None)))},
            lag=draw((0.0, 61.0)),
            workers=draw(({}, HERE, {MAIL: WorkerCount(1, 1)})),
            server=ServerFacts({}, values, {"rdb": draw((True, False))}),
            up=draw((True, True, True, False)),
            reports={
                "queues": CollectorReport(not_available=refused_commands),
                "events": CollectorReport(True, 0.1, succeeded, dict(errors)),
            },
        )

    return course


@dataclass(frozen=True)
class Past:
    """What an exporter showed in a course, by minute."""

    incident: range
    """The minutes of the incident."""
    pages: list[tuple[float, Samples]]
    """With the Unix time of each."""
    findings: list[set[Found]]
    causes: list[set[str]]
    """The alerts that no other one explains, without the prefix BullMQ."""


def around(alert: str) -> tuple[range, int]:
    """The minutes of an incident that is longer than the alert waits, and of its course."""
    settings = BY_NAME[alert].all_settings()
    window, wait = (
        int(settings[name].value / 60) if name in settings else 0 for name in ("window", "for")
    )
    start = window + EDGE_MINUTES
    stop = start + window + wait + EDGE_MINUTES
    return range(start, stop), stop + window + EDGE_MINUTES


def lived(course: Callable[[Now], Known], incident: range, minutes: int) -> Past:
    """The past of an exporter to which this has happened."""
    past = Past(incident, [], [], [])
    with pytest.MonkeyPatch.context() as patch:
        clock = StoppedClock(patch)
        clock.move(STEP_SECONDS - time.time() % STEP_SECONDS)
        store, writer = SnapshotStore(["api", "worker"]), PageWriter()
        for minute in range(minutes):
            wrong = minute in incident
            so_far = min(max(0, minute - incident.start + 1), len(incident))
            known = course(Now(wrong, minute, so_far))
            for each in known.snapshots:
                store.publish(each)
            store.sync, store.reload = known.sync, known.reload
            if wrong and known.render_failures:
                store.render_failed_at = time.monotonic()
            names = [each.connection for each in known.snapshots]
            silence = {"mail": {"silent_seconds": SILENT_SECONDS}}
            moment = moment_of(store, config(*names, queues={"targets": silence}))
            page = writer.write(moment, known.render_failures)
            samples = parse(page.body(Variant(Format.TEXT, gzip=False)).decode())
            ours = {series: v for series, v in samples.items() if series[0].startswith("bullmq")}
            past.pages.append((round(time.time()), ours))
            verdict = verdict_of(moment)
            past.findings.append(found_by_exporter(verdict.as_json()))
            past.causes.append({each.alert.name for each in verdict.findings if each.alert})
            clock.move(STEP_SECONDS)
    return past


PART_MINUTES = 20
CHANCES = {f"chance {seed}": chance(seed) for seed in range(4)}


@pytest.fixture(scope="module")
def pasts() -> dict[str, Past]:
    lives = {name: lived(course, *around(name)) for name, course in COURSES.items()}
    return lives | {
        name: lived(course, range(0), 10 * PART_MINUTES) for name, course in CHANCES.items()
    }


@dataclass(frozen=True)
class Evaluated:
    """What Prometheus makes of a course, by minute."""

    true: list[set[Found]]
    """The alerts whose expression is true."""
    firing: list[set[Found]]
    """The alerts whose expression was true for as long as they wait."""


@pytest.fixture(scope="module")
def evaluated(
    pasts: dict[str, Past], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Evaluated]]:
    pages = {name: past.pages for name, past in pasts.items()}
    with backfilled(tmp_path_factory.mktemp("prometheus"), pages, rules_file([])) as running:
        yield evaluate(running, pasts)


def evaluate(prometheus: Prometheus, pasts: Mapping[str, Past]) -> dict[str, Evaluated]:
    """Evaluate every rule for every minute of every course."""
    places = {name: {at: n for n, (at, _) in enumerate(past.pages)} for name, past in pasts.items()}
    found = {
        name: Evaluated([set() for _ in known], [set() for _ in known])
        for name, known in places.items()
    }
    times = [at for known in places.values() for at in known]
    for rule in groups()["groups"][-1]["rules"]:
        alert = BY_NAME[rule["alert"].removeprefix("BullMQ")]
        if alert.name in NO_CONDITION:
            continue
        waits = int(alert.wait.value / STEP_SECONDS)
        for labels, points in prometheus.query_range(
            rule["expr"], min(times), max(times), STEP_SECONDS
        ):
            each = found[labels["job"]]
            key = (
                alert.full_name,
                frozenset(
                    (name, text) for name, text in labels.items() if name not in TARGET_LABELS
                ),
            )
            place = places[labels["job"]]
            # a window also reaches beyond the end of a course
            minutes = {place[at] for at, _ in points if at in place}
            for minute in minutes:
                each.true[minute].add(key)
                if minutes.issuperset(range(minute - waits, minute)):
                    each.firing[minute].add(key)
    return found


def test_every_alert_has_a_course() -> None:
    assert not CONDITIONS.keys() - COURSES.keys(), "add the incident to COURSES"
    assert not COURSES.keys() - CONDITIONS.keys(), "remove from COURSES"


@pytest.mark.parametrize("alert", COURSES)
def test_the_alert_fires_and_is_found(
    alert: str, pasts: dict[str, Past], evaluated: dict[str, Evaluated]
) -> None:
    """Neither the alert nor the finding exists before and after the incident."""
    past, seen = pasts[alert], evaluated[alert]
    first, last, end = past.incident[0], past.incident[-1], len(past.pages) - 1
    assert alert in past.causes[last]
    assert names(seen.firing[last]) >= past.causes[last]
    for minute in (first - 1, end):
        assert alert not in names(past.findings[minute] | seen.true[minute])


@pytest.mark.parametrize("name", [*COURSES, *CHANCES])
def test_findings_and_alerts_are_the_same(
    name: str, pasts: dict[str, Past], evaluated: dict[str, Evaluated]
) -> None:
    """What is found is true for Prometheus, and what fires is found."""
    ours, theirs = pasts[name].findings, evaluated[name]
    for minute in range(len(ours)):
        assert not missing(ours[minute], theirs.true, minute), (minute, "no alert")
        assert not missing(theirs.firing[minute], ours, minute), (minute, "no finding")
        # a finding does not wait: it holds from the minute in which the expression is true
        at_once = {found for found in theirs.true[minute] if found[0] not in NEEDS_HISTORY}
        assert not missing(at_once, ours, minute), (minute, "no finding yet")


def names(found: set[Found]) -> set[str]:
    return {name.removeprefix("BullMQ") for name, _ in found}


def missing(found: set[Found], others: Sequence[set[Found]], minute: int) -> set[Found]:
    """What the others lack in this minute; with a window, in all minutes around it."""
    around = range(max(0, minute - EDGE_MINUTES), min(len(others), minute + EDGE_MINUTES + 1))
    near: set[Found] = set().union(*(others[each] for each in around))
    return {
        each
        for each in found - others[minute]
        if "window" not in BY_NAME[each[0].removeprefix("BullMQ")].settings or each not in near
    }
