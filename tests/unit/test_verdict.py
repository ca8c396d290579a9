"""The verdict: the finding of each alert, causes and symptoms, and unknown is never green."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from exporter.bullmq import queue_of
from exporter.config.models import Config
from exporter.connection import ErrorClass
from exporter.findings import Status, Verdict, verdict_of
from exporter.findings.conditions import CONDITIONS, NO_CONDITION
from exporter.findings.text import fill
from exporter.rules.alerts import ALERTS
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import (
    CollectorReport,
    Dated,
    Discovered,
    EventFacts,
    LastError,
    PrefixCount,
    Reload,
    ServerFacts,
    Snapshot,
)
from exporter.state.store import SnapshotStore
from exporter.state.stuck import StuckJob, StuckKind
from exporter.state.unfinished_jobs import Audit, Rebase
from exporter.state.workers import WorkerCount
from exporter.views.moment import moment_of
from tests.support.factories import (
    config,
    moment,
    queue_events,
    refused,
    snapshot,
    stuck,
    sync_report,
)
from tests.support.stopped_clock import StoppedClock

MAIL, IMAGES = ("bull", "mail"), ("bull", "images")
WORKERS: dict[tuple[str, str], WorkerCount] = {MAIL: WorkerCount(1, 0), IMAGES: WorkerCount(1, 1)}
PARENT = StuckJob(StuckKind.PARENT, "p\n", 1.0, "of its children, 2 failed for good")
BUSY = {"active": 1, "active_locked": 1, "worker_alive": 1, "rate_limited": 0, "paused": 0}


def verdict(*snapshots: Snapshot, **more: Any) -> Verdict:
    return verdict_of(moment(*snapshots, **more))


def names(found: Verdict) -> list[str]:
    return [finding.name for finding in found.findings]


def with_server(values: Mapping[str, float], **facts: Any) -> Snapshot:
    server = ServerFacts({"maxmemory_policy": "noeviction"}, values, facts.pop("persistence", {}))
    return snapshot(queues={MAIL: {}}, server=server, **facts)


def with_events(**counts: int) -> Snapshot:
    """A connection whose queue has these event totals."""
    facts = EventFacts({queue_of(*MAIL): queue_events(**counts)}, 0, 0)
    known = snapshot(queues={MAIL: {}}, workers=WORKERS)
    return replace(known, facts={**known.facts, EventFacts: Dated(facts, known.at)})


def after_a_minute(clock: StoppedClock, make: Callable[[int], Snapshot]) -> Verdict:
    """The verdict on `make(1)`, a minute after `make(0)`."""
    store = SnapshotStore(["api"])
    store.publish(make(0))
    clock.move(60)
    store.publish(make(1))
    return verdict_of(moment_of(store, config()))


class TestEveryAlert:
    """For each alert, a snapshot that causes only its finding, and the symptoms of it."""

    def test_each_alert_has_a_condition_or_a_reason(self) -> None:
        assert CONDITIONS.keys() | NO_CONDITION.keys() == {alert.name for alert in ALERTS}

    @pytest.mark.parametrize(
        ("name", "made"),
        [
            ("RedisUnreachable", lambda: snapshot(up=False, last_error=refused())),
            (
                "CollectionStale",
                lambda: snapshot(
                    queues={MAIL: {}}, reports={"events": CollectorReport(True, 0.1, 0.0)}
                ),
            ),
            (
                "DiscoveryRefused",
                lambda: snapshot(
                    queues={MAIL: {}},
                    reports={"discovery": CollectorReport(not_available=("scan",))},
                ),
            ),
            (
                "CommandsRefused",
                lambda: snapshot(
                    queues={MAIL: {}},
                    reports={"queues": CollectorReport(True, not_available=("llen",))},
                ),
            ),
            ("NoQueuesFound", snapshot),
            ("QueuesDropped", lambda: snapshot(queues={MAIL: {}}, dropped=3)),
            ("RedisEvictionPolicyUnsafe", lambda: with_server({"eviction_safe": 0.0})),
            (
                "RedisMemoryNearLimit",
                lambda: with_server({"memory_used_bytes": 86.0, "memory_max_bytes": 100.0}),
            ),
            (
                "RedisClientsNearLimit",
                lambda: with_server({"connected_clients": 91.0, "max_clients": 100.0}),
            ),
            ("RedisReplicaLinkDown", lambda: with_server({"master_link_up": 0.0})),
            ("RedisPersistenceFailing", lambda: with_server({}, persistence={"rdb": False})),
            (
                "RedisWritesRefused",
                lambda: snapshot(
                    queues={MAIL: {}},
                    ping_refusal=LastError(ErrorClass.WRITES_REFUSED, "MISCONF x", 0.0),
                ),
            ),
            ("NoWorkers", lambda: snapshot(queues={MAIL: stuck()})),
            ("QueuePausedTooLong", lambda: snapshot(queues={MAIL: {"paused": 1}})),
            ("JobsWaitingTooLong", lambda: aged(301)),
            ("JobsWaitingFarTooLong", lambda: aged(3601)),
            ("DelayedJobsOverdue", lambda: row(delayed=1, delayed_overdue_seconds=121)),
            ("SchedulerOverdue", lambda: row(schedulers_overdue_seconds=10_800)),
            ("JobsVanished", lambda: audited(Audit(1, time.time()))),
            ("JobsVanished", lambda: audited(Audit(0, rolled_back=time.time() - 3599))),
            ("StuckJobs", lambda: row(stuck_parents_examples=(PARENT,), stuck_parents=1)),
            ("ActiveJobTooLong", lambda: row(oldest_active_seconds=3601, **BUSY)),
            (
                "QueueBlocked",
                lambda: row(**(stuck() | BUSY | {"active": 0, "active_locked": None})),
            ),
        ],
    )
    def test_finding_of_an_alert(self, name: str, made: Callable[[], Snapshot]) -> None:
        found = verdict(made())
        assert names(found) == [name]
        (finding,) = found.findings
        assert finding.headline
        assert "{{" not in finding.headline + finding.explanation
        assert found.status is (Status.INFO if name == "QueuePausedTooLong" else finding.status)

    def test_without_a_blocked_reason_the_alert_text_explains(self) -> None:
        """The finding says what the alert says if there is no further evidence."""
        active = {"active": 1, "active_locked": 0, "worker_alive": 0}
        (finding,) = verdict(snapshot(queues={MAIL: active})).findings
        assert finding.name == "NoWorkers"
        assert finding.explanation.startswith("bull:mail on api has unfinished jobs")

    def test_prioritized_jobs_count_even_if_waiting_ones_are_unknown(self) -> None:
        pending = {"waiting": None, "prioritized": 2, "worker_alive": 0}
        assert "NoWorkers" in names(verdict(snapshot(queues={MAIL: stuck() | pending})))

    def test_finding_of_a_rejected_configuration(self) -> None:
        refusal = Reload(successful=False, success_time=0.0)
        assert names(verdict(snapshot(queues={MAIL: {}}), reload=refusal)) == ["ConfigReloadFailed"]

    def test_finding_of_the_sync_test(self) -> None:
        both = [snapshot(name, {MAIL: {}}) for name in ("api", "worker")]
        failed = sync_report(["api", "worker"], [("api", "worker")])
        found = verdict(*both, sync=failed)
        assert names(found) == ["SyncTestFailing"]
        assert "api" in found.findings[0].explanation

    def test_separate_databases_hint_at_sync_groups(self) -> None:
        both = [snapshot(name, {MAIL: {}}) for name in ("api", "mail")]
        report = sync_report(["api", "mail"], [("api", "mail")])
        pairs = [
            replace(p, checks=p.checks | {"same_database": p.checks["set_get"]})
            for p in report.pairs
        ]
        failed = replace(report, pairs=tuple(pairs))
        (finding,) = verdict(*both, sync=failed).findings
        assert finding.explanation.endswith(
            "if they are separate on purpose, set sync.groups: [[api, …], [mail, …]]"
        )
        grouped = config("api", "mail", sync={"groups": [["api", "mail"]]})
        (finding,) = verdict(*both, sync=failed, settings=grouped).findings
        assert "sync.groups" not in finding.explanation

    def test_finding_of_a_page_that_was_not_rendered(self) -> None:
        store = SnapshotStore(["api"])
        store.publish(snapshot(queues={MAIL: {}}))
        store.render_failed_at = time.monotonic() - 10
        assert names(verdict_of(moment_of(store, config()))) == ["PageNotRendered"]


def row(**facts: Any) -> Snapshot:
    return snapshot(queues={MAIL: {"library_version": "bullmq:5.0.0"} | facts}, workers=WORKERS)


def aged(seconds: float) -> Snapshot:
    """A queue whose oldest job has been waiting this long, although others move."""
    return row(waiting=5, oldest_waiting_seconds=seconds, **BUSY)


class TestHistory:
    def test_a_very_high_failure_ratio(self, clock: StoppedClock) -> None:
        found = after_a_minute(
            clock, lambda n: with_events(completed=10 + 29 * n, failed=10 + 115 * n)
        )
        assert names(found) == ["VeryHighFailureRatio"]
        assert [each.name for each in found.symptoms] == ["HighFailureRatio"]
        assert "115 of 144 jobs failed" in found.findings[0].explanation

    @pytest.mark.parametrize(
        ("name", "counts"),
        [("JobsStalled", {"stalled": 4}), ("EventGap", {"lost": 1})],
    )
    def test_growth_of_event_counters(
        self, name: str, counts: dict[str, int], clock: StoppedClock
    ) -> None:
        found = after_a_minute(clock, lambda n: with_events(added=1, **(counts if n else {})))
        assert names(found) == [name]

    @pytest.mark.parametrize(
        ("counts", "expected"),
        [
            ({"added": 20, "duplicated": 21}, ["MostJobsDuplicated"]),
            ({"added": 0, "duplicated": 21}, ["MostJobsDuplicated"]),
            ({"added": 21, "duplicated": 21}, []),
            ({"added": 0, "duplicated": 20}, []),
            # asked for, and no mistake
            ({"added": 0, "deduplicated": 1000}, []),
        ],
    )
    def test_duplicates(
        self, counts: dict[str, int], expected: list[str], clock: StoppedClock
    ) -> None:
        found = after_a_minute(
            clock, lambda n: with_events(**{name: 7 + n * count for name, count in counts.items()})
        )
        assert names(found) == expected
        if counts == {"added": 20, "duplicated": 21}:
            assert found.findings[0].explanation == "21 of 41 adds ignored: the job ID exists"

    @pytest.mark.parametrize(
        ("name", "counter"),
        [("RedisKeysEvicted", "evicted_keys"), ("RedisClientsRejected", "rejected_connections")],
    )
    def test_growth_of_redis_counters(self, name: str, counter: str, clock: StoppedClock) -> None:
        assert names(after_a_minute(clock, lambda n: with_server({counter: 5.0 + n}))) == [name]

    def test_growth_of_collector_errors(self, clock: StoppedClock) -> None:
        def failing(count: int) -> Snapshot:
            report = CollectorReport(True, 0.1, time.time(), {ErrorClass.PROTOCOL: 1 + count})
            return snapshot(queues={MAIL: {}}, reports={"events": report})

        assert names(after_a_minute(clock, failing)) == ["CollectionErrors"]


def with_targets(**target: float) -> Config:
    """Targets for queues named m*, before a pattern that must not count."""
    return config("api", queues={"targets": {"m*": target, "*": {"wait_seconds": 1}}})


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "seconds", "expected"),
        [
            (14_400, 14_400, []),
            (14_400, 14_401, ["JobsWaitingTooLong"]),
            (14_400, 12 * 14_400 + 1, ["JobsWaitingFarTooLong"]),
            (60, 61, ["JobsWaitingTooLong"]),
            (60, 721, ["JobsWaitingFarTooLong"]),
        ],
    )
    def test_wait_target(self, target: float, seconds: float, expected: list[str]) -> None:
        assert names(verdict(aged(seconds), settings=with_targets(wait_seconds=target))) == expected

    def test_the_first_matching_pattern_counts_even_without_a_value(self) -> None:
        assert names(verdict(aged(299), settings=with_targets(run_seconds=5))) == []

    def test_run_target(self) -> None:
        busy = row(oldest_active_seconds=3601, **BUSY)
        assert names(verdict(busy, settings=with_targets(run_seconds=7200))) == []
        assert names(verdict(busy, settings=with_targets(run_seconds=3600))) == ["ActiveJobTooLong"]

    @pytest.mark.parametrize(
        ("ratio", "expected"), [(0.8, []), (0.5, ["HighFailureRatio"]), (0, ["HighFailureRatio"])]
    )
    def test_failure_target(self, ratio: float, expected: list[str], clock: StoppedClock) -> None:
        store = SnapshotStore(["api"])
        store.publish(with_events(completed=10, failed=10))
        clock.move(60)
        store.publish(with_events(completed=39, failed=125))
        found = verdict_of(moment_of(store, with_targets(failure_ratio=ratio)))
        assert names(found) == expected
        assert found.symptoms == ()

    @pytest.mark.parametrize(("seconds", "expected"), [(60, []), (61, ["QueueSilent"])])
    def test_silence_target(self, seconds: float, expected: list[str]) -> None:
        snapshot = added(time.time() - seconds)
        assert names(verdict(snapshot, settings=with_targets(silent_seconds=60))) == expected
        assert names(verdict(snapshot)) == []

    def test_an_unseen_last_job_is_unknown(self) -> None:
        found = verdict(added(None), settings=with_targets(silent_seconds=60))
        assert found.groups[0].headline == "Last added job unknown: 1 queue of api"
        assert found.status is Status.UNKNOWN


def added(at: float | None) -> Snapshot:
    """A queue to which the last job was added at that Unix time; None if not seen."""
    facts = EventFacts({queue_of(*MAIL): queue_events(last_added=at)}, 0, 0)
    known = snapshot(queues={MAIL: {}}, workers=WORKERS)
    return replace(known, facts={**known.facts, EventFacts: Dated(facts, known.at)})


def audited(audit: Audit | None) -> Snapshot:
    """A queue whose jobs were audited."""
    events = queue_events(audit=audit)
    known = snapshot(queues={MAIL: {}}, workers=WORKERS)
    facts = EventFacts({queue_of(*MAIL): events}, 0, 0)
    return replace(known, facts={**known.facts, EventFacts: Dated(facts, known.at)})


class TestVanishedJobs:
    @pytest.mark.parametrize(
        ("audit", "expected"),
        [
            (Audit(1, 1.0), "1 job vanished"),
            (Audit(1200, 1.0), "1,200 jobs vanished"),
            (Audit(2, 1.0), "Redis evicted none of their keys"),
            (Audit(2, 1.0, evicted=None), "whether Redis evicted keys is unknown"),
            (Audit(2, 1.0, evicted=17), "Redis evicted 17 keys meanwhile"),
            (Audit(2, 1.0, rolled_back=1.0), "the event stream went back"),
        ],
    )
    def test_what_is_known_about_the_cause(self, audit: Audit, expected: str) -> None:
        (finding,) = verdict(audited(audit)).findings
        assert finding.name == "JobsVanished"
        assert expected in finding.explanation

    @pytest.mark.parametrize(
        "audit",
        [
            None,
            Audit(),
            Audit(0, rebases={Rebase.CLEAN: 1, Rebase.RESTART: 2}),
            Audit(0, rolled_back=1.0),
        ],
    )
    def test_nothing_vanished_that_is_known(self, audit: Audit | None) -> None:
        assert names(verdict(audited(audit))) == []


class TestCauses:
    def test_an_unreachable_redis_explains_the_sync_test(self) -> None:
        lost = snapshot("worker", up=False, last_error=refused())
        sync = sync_report(["api", "worker"], [("api", "worker"), ("worker", "api")])
        found = verdict(snapshot("api", {MAIL: {}}), lost, sync=sync)
        assert names(found) == ["RedisUnreachable"]

    def test_missing_workers_explain_waiting_jobs(self) -> None:
        found = verdict(snapshot(queues={MAIL: stuck() | {"oldest_waiting_seconds": 4000.0}}))
        assert names(found) == ["NoWorkers"]
        assert {each.name for each in found.symptoms} == {
            *("QueueBlocked", "JobsWaitingTooLong", "JobsWaitingFarTooLong"),
        }

    def test_a_cause_explains_only_its_own_queue(self) -> None:
        queues = {MAIL: stuck(), IMAGES: BUSY | {"waiting": 1, "oldest_waiting_seconds": 400.0}}
        found = verdict(snapshot(queues=queues, workers={IMAGES: WorkerCount(1, 0)}))
        assert names(found) == ["NoWorkers", "JobsWaitingTooLong"]


class TestText:
    def test_headline_without_problems(self) -> None:
        found = verdict(snapshot(queues={MAIL: {"waiting": 2} | BUSY, IMAGES: {}}, workers=WORKERS))
        assert (found.status, found.headline) == (
            Status.OK,
            "All is well: 2 queues, none blocked",
        )

    def test_a_shard_reports_only_its_own_queues(self) -> None:
        seen = moment(snapshot(queues={MAIL: {}}))
        text = {"connections": {"api": {"url": "redis://api"}}, "queues": {"shard": "2/3"}}
        shard = replace(seen, config=Config.model_validate(text))
        assert verdict_of(shard).headline == "All is well: 1 queue of shard 2/3, none blocked"

    def test_queues_with_the_same_problem_are_one_line(self) -> None:
        queues = {("bull", f"q{n}"): stuck() for n in range(8)}
        (group,) = verdict(snapshot(queues=queues)).groups
        assert group.headline.startswith("No worker connected: 8 queues (q")
        assert group.headline.endswith("and 5 more)")
        assert group.details == (
            "no worker is connected; start one on this Redis with this prefix",
        )

    def test_one_line_for_each_explanation_with_the_oldest_job(self) -> None:
        queues = {
            ("bull", name): stuck() | {"waiting": 3, "oldest_waiting_seconds": age}
            for name, age in (("mail", 540.0), ("sms", 7300.0), ("Push", 90.0))
        }
        elsewhere = {("bull", "push"): WorkerCount(1, 1)}
        (group,) = verdict(snapshot(queues=queues, workers=elsewhere)).groups
        assert group.details == (
            "sms, mail: no worker is connected; start one on this Redis with this prefix "
            "(oldest job: 2h)",
            'Push: no worker is connected here, but there are workers for "bull:push" '
            "(oldest job: 90s)",
        )

    def test_the_queue_with_the_largest_impact_comes_first(self) -> None:
        queues = {
            ("bull", name): stuck() | {"waiting": size, "oldest_waiting_seconds": 100.0}
            for name, size in (("small", 1), ("large", 900), ("middle", 30))
        }
        found = verdict(snapshot(queues=queues))
        assert [each.labels["queue"] for each in found.findings] == ["large", "middle", "small"]

    def test_the_worst_status_comes_first(self) -> None:
        found = verdict(snapshot(queues={MAIL: stuck()}, dropped=1), connections=("api", "worker"))
        assert [group.status for group in found.groups] == [
            *(Status.CRITICAL, Status.WARNING, Status.UNKNOWN)
        ]
        assert found.headline.endswith(" · 2 more problems")

    @pytest.mark.parametrize(
        ("ago", "facts", "text"),
        [
            (
                4,
                {"up": False, "last_error": refused()},
                "last reached 4s ago; its queues are shown",
            ),
            (
                130,
                {"up": False, "last_error": refused()},
                "last reached 2m ago; what its queues do is unknown",
            ),
            (40, {}, "no poll has finished in time"),
        ],
    )
    def test_explanation_of_an_unreachable_redis(
        self, ago: float, facts: dict[str, Any], text: str
    ) -> None:
        found = verdict(snapshot(queues={MAIL: {}}, ago=ago, **facts))
        assert text in found.findings[0].explanation

    @pytest.mark.parametrize(
        ("template", "value", "shown"),
        [
            ("{{ $value | humanizeDuration }}", 3725.0, "1h 2m 5s"),
            ("{{ $value | humanizeDuration }}", 90_061.0, "1d 1h 1m 1s"),
            ("{{ $value | humanizeDuration }}", 0.25, "250ms"),
            ("{{ $value | humanize }}", 1234.0, "1.234k"),
            ("{{ $value | humanizePercentage }}", 0.798, "79.8%"),
            ("{{ $labels.queue }}", 0.0, "mail"),
        ],
    )
    def test_alert_templates_are_filled(self, template: str, value: float, shown: str) -> None:
        assert fill(template, {"queue": "mail"}, value) == shown


class TestNeverGreen:
    """Missing data never makes a verdict better."""

    def test_before_the_first_poll(self) -> None:
        found = verdict(connections=("api", "worker"))
        assert found.headline == "Starting: api, worker not tried yet"
        assert found.status is Status.UNKNOWN

    def test_while_queues_are_discovered(self) -> None:
        assert verdict(snapshot(facts={})).headline == "Discovering the queues of api"

    def test_old_jobs_before_they_were_watched(self) -> None:
        facts = stuck(10) | BUSY | {"oldest_waiting_seconds": 200.0}
        found = verdict(snapshot(queues={MAIL: facts}, workers=WORKERS))
        assert found.headline == "Watching 1 queue: verdict in 50 s"
        assert found.status is Status.UNKNOWN

    def test_unreadable_counts(self) -> None:
        found = verdict(snapshot(queues={MAIL: {"waiting": None}, IMAGES: {}}))
        assert found.headline == "Ready jobs unknown: 1 queue of api"
        assert found.status is Status.UNKNOWN

    def test_unreadable_queues(self) -> None:
        reports = {"queues": CollectorReport(success=False, last_error=refused())}
        known = snapshot(queues={MAIL: {}}, reports=reports)
        facts = {kind: dated for kind, dated in known.facts.items() if kind is not QueueTable}
        found = verdict(replace(known, facts=facts))
        assert found.headline == "The queues of api cannot be read"

    def test_a_refused_client_list_is_only_mentioned(self) -> None:
        reports = {"workers": CollectorReport(not_available=("client|list",))}
        found = verdict(snapshot(queues={MAIL: {}}, reports=reports))
        assert found.status is Status.INFO
        assert found.groups[0].headline == "The number of workers of api is unknown"

    def test_a_prefix_without_queues(self) -> None:
        facts = Discovered((queue_of(*MAIL),), {"bull": PrefixCount(1), "jobs": PrefixCount(0)})
        known = snapshot(queues={MAIL: {}})
        found = verdict(replace(known, facts={**known.facts, Discovered: Dated(facts, known.at)}))
        assert found.headline == "No queues found: prefix jobs on api"


class TestKeptJobs:
    """Finished jobs that are kept, in a Redis whose memory grows, over the last half hour."""

    STEP = 60

    def found(
        self,
        clock: StoppedClock,
        *,
        jobs: float = 0.6,
        memory: float = 2000.0,
        limit: float = 1e9,
        minutes: int = 30,
    ) -> Verdict:
        """Growth of jobs and bytes each second."""
        store = SnapshotStore(["api"])
        for step in range(minutes + 1):
            clock.move(self.STEP)
            seconds = step * self.STEP
            values = {"memory_used_bytes": 1e8 + memory * seconds, "memory_max_bytes": limit}
            store.publish(
                snapshot(
                    queues={
                        MAIL: {"completed": 1000 + int(jobs / 2 * seconds)}
                        | {"failed": int(jobs / 2 * seconds)},
                        IMAGES: {"completed": 5000},
                    },
                    workers=WORKERS,
                    server=ServerFacts({}, values, {}),
                )
            )
        return verdict_of(moment_of(store, config()))

    def test_they_fill_the_memory_within_a_week(self, clock: StoppedClock) -> None:
        (finding,) = self.found(clock).findings
        assert finding.name == "KeptJobsFillMemory"
        assert finding.labels == {"connection": "api", "prefix": "bull", "queue": "mail"}
        assert "more finished jobs are kept than 30m ago" in finding.explanation
        assert finding.explanation.endswith("at this rate, the memory of api is full in 5d")

    @pytest.mark.parametrize(
        "changes",
        [
            {"jobs": 0.49},
            {"memory": 1000.0},
            {"memory": -1000.0},
            {"limit": 0.0},
            {"minutes": 10},
        ],
        ids=["fewer jobs", "over a week", "memory falls", "no limit", "too little known"],
    )
    def test_no_finding(self, changes: dict[str, Any], clock: StoppedClock) -> None:
        assert self.found(clock, **changes).findings == ()


def test_an_unknown_number_of_kept_jobs_is_no_growth(clock: StoppedClock) -> None:
    store = SnapshotStore(["api"])
    for step in range(31):
        clock.move(60)
        values = {"memory_used_bytes": 1e8 + 1e6 * step, "memory_max_bytes": 1e9}
        count = None if step < 30 else 10**6
        queues = {MAIL: {"completed": count, "failed": 0}}
        server = ServerFacts({}, values, {})
        store.publish(snapshot(queues=queues, workers=WORKERS, server=server))
    assert "KeptJobsFillMemory" not in names(verdict_of(moment_of(store, config())))
