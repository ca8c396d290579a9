"""`make demo`'s command: every scenario shows what it promises, fires its alerts at a real
Prometheus and Alertmanager, and leaves nothing behind.

All scenarios run side by side, since most of their time is waiting; each ends with its last test.
A machine that is busy itself can hold up any queue for a moment, so what a scenario shows is waited
for as a whole.
"""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser

from exporter.demo.prometheus import local_prometheus
from exporter.demo.scenarios import SCENARIOS
from tests.support.alert_tests import FOLDER
from tests.support.browser import Screen, screens
from tests.support.demo import Demo, running_demos
from tests.support.page_vs_metrics import rate, until_they_agree
from tests.support.pages import Samples, every, jobs, parse, value
from tests.support.requirements import require
from tests.support.verdicts import disagreement
from tests.support.waiting import wait_for

Look = Callable[[Demo], Screen]
Alert = tuple[str, str]
"""Name without BullMQ, and what it is about: a queue, a connection or a pair."""

EXPECTED: dict[str, set[Alert]] = {
    "busy": {("BacklogGrowing", "images"), ("JobsWaitingTooLong", "images")},
    "failing": {("HighFailureRatio", "payments"), ("VeryHighFailureRatio", "payments")},
    "duplicates": {("MostJobsDuplicated", "emails")},
    "flow": {("StuckJobs", "albums")},
    "poison": {("StuckJobs", "reports"), ("JobsStalled", "reports")},
    "lost": {("JobsVanished", "emails")},
    "stuck": {
        ("QueueBlocked", "reports"),
        ("JobsWaitingTooLong", "reports"),
        ("QueueNotDraining", "reports"),
        ("DelayedJobsOverdue", "reports"),
    },
    "isolation": {
        ("WorkerIsolation", "emails"),
        ("QueueBlocked", "emails"),
        ("NoWorkers", "emails"),
        ("SyncTestFailing", "api worker"),
        ("SyncTestFailing", "worker api"),
    },
    "paused": {("QueuePausedTooLong", "emails")},
    "outage": {("RedisUnreachable", "default")},
}
"""What must fire."""
ABOUT = {
    "busy": {"images"},
    "failing": {"payments"},
    "duplicates": {"emails"},
    "flow": {"albums"},
    "poison": {"reports"},
    "lost": {"emails"},
    "stuck": {"reports"},
    "paused": {"emails"},
    "outage": {"default"},
}
"""Everything else that fires must be about the same."""
EVALUATIONS = 23
"""Of every rule, one in two seconds: twice the longest that an alert of the demo waits."""

_DONE = ("emails", "completed")


OWN_PROMETHEUS = "healthy"
"""The scenario that runs its own Prometheus; one for all the others is cheaper."""


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    """All scenarios with a Prometheus."""
    require("prometheus")
    require("prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("demo")
    others = [name for name in SCENARIOS if name != OWN_PROMETHEUS]
    with (
        running_demos(others, folder) as started,
        local_prometheus({n: f"127.0.0.1:{demo.port}" for n, demo in started.items()}) as pages,
        running_demos([OWN_PROMETHEUS], folder, "--prometheus") as own,
    ):
        for name, demo in started.items():
            demo.job, demo.pages = name, pages
        yield started | own


@pytest.fixture(scope="module")
def another_outage(
    demos: dict[str, Demo], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    """Without Prometheus, beside the others."""
    with running_demos(["outage"], tmp_path_factory.mktemp("outage")) as started:
        yield started["outage"]


@pytest.fixture(scope="module")
def screen(browser: Browser, demos: dict[str, Demo]) -> Iterator[Screen]:
    """The status page of the outage, which nobody touches again."""
    with screens(browser) as opened:
        yield opened(demos["outage"])


def firing(demo: Demo) -> set[Alert]:
    """What fires now."""
    labels = [alert["labels"] for alert in demo.alerts()]
    return {(each["alertname"].removeprefix("BullMQ"), about(each)) for each in labels}


def about(labels: dict[str, str]) -> str:
    pair = f"{labels.get('writer', '')} {labels.get('reader', '')}".strip()
    return labels.get("queue") or pair or labels.get("connection", "")


def page_says_what_metrics_say(page: Screen, demo: Demo, headline: str) -> None:
    """The same of every queue, and the verdict first, which is that of the alerts."""
    until_they_agree(page, demo)
    page.until(lambda s: s.headline.startswith(headline), f"the verdict {headline}")
    reasons = list(_blocked(demo.samples()).values())
    if reasons:
        page.until(lambda s: s.rows()[0].reason == reasons[0], "the blocked queue first")
    assert page.violations() == []
    agrees_with_prometheus(demo)


def agrees_with_prometheus(demo: Demo) -> None:
    """Whatever an alert's expression finds is a finding, and the other way round."""
    seen: list[object] = []

    def agree() -> bool:
        seen.append(disagreement(demo.get("/health/queues").json, demo.prometheus, job=demo.job))
        return not seen[-1]

    try:
        wait_for(agree, "the findings and the alerts agree")
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen[-1]}") from None


def shows_rates(page: Screen) -> None:
    page.until(lambda s: rate(s, "images", "done") > 10, "rates")


def fires_its_alerts(demo: Demo, scenario: str) -> None:
    """Wait for all that must fire, and nothing about anything else."""

    def as_expected() -> bool:
        found = firing(demo)
        subjects = {subject for _, subject in found}
        return found >= EXPECTED[scenario] and subjects == ABOUT.get(scenario, subjects)

    wait_for(as_expected, f"{EXPECTED[scenario]} fire, and about nothing else")
    alerts = demo.alerts()
    assert alerts
    for alert in alerts:
        is_complete(alert)


def explains_the_rest(demo: Demo, cause: str, explained: set[str]) -> None:
    """Wait until Alertmanager notifies of the cause alone, by the example's inhibition rules."""

    def states() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for alert in demo.alerts():
            name = alert["labels"]["alertname"].removeprefix("BullMQ")
            found.setdefault(alert["status"]["state"], set()).add(name)
        return found

    def only_the_cause() -> bool:
        found = states()
        return found.get("active") == {cause} and found.get("suppressed", set()) >= explained

    wait_for(only_the_cause, f"{cause} alone is active, and {explained} are suppressed")


def includes(loaded: Any, shipped: Any) -> bool:
    """Whether both are the same, but for what is set by default."""
    if isinstance(shipped, dict):
        return all(key in loaded and includes(loaded[key], shipped[key]) for key in shipped)
    if isinstance(shipped, list):
        return len(loaded) == len(shipped) and all(map(includes, loaded, shipped))
    return bool(loaded == shipped)


def is_complete(alert: dict[str, Any]) -> None:
    """No template failed, and it names its queue or connection and leads to its runbook."""
    annotations, labels = alert["annotations"], alert["labels"]
    assert "<" not in "".join(annotations.values()), annotations
    for part in about(labels).split():
        assert part in annotations["summary"], (labels, annotations)
    assert annotations["runbook_url"].endswith(f"#{labels['alertname'].lower()}")
    assert annotations["dashboard_url"].startswith("/d/bullmq-")
    assert labels["severity"] in {"critical", "warning", "info"}


# the outage lasts forty seconds, in which every other scenario unfolds


@pytest.mark.usefixtures("another_outage")  # it goes down a little later
def test_outage_is_down(demos: dict[str, Demo], screen: Screen) -> None:
    demo = demos["outage"]
    down = demo.until(lambda found: _is_down(found) and not jobs(found), "down, no jobs")
    assert every(down, "bullmq_queue_blocked") == {}
    headline = "Redis unreachable: default"
    screen.until(lambda s: s.headline == headline and s.rows() == [], "down, no queues")
    fires_its_alerts(demo, "outage")


def test_outage_ends_cleanly_while_redis_is_down(another_outage: Demo) -> None:
    another_outage.until(_is_down, "down")
    another_outage.ends_cleanly(signal.SIGTERM, children=3)


def test_failing_fails_most_of_the_payments(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["failing"]
    samples = demo.until(
        lambda found: _total(found, "failed", "payments") > 40 and not _blocked(found), "failures"
    )
    failed, completed = (_total(samples, end, "payments") for end in ("failed", "completed"))
    assert 0.6 < failed / (failed + completed) < 0.9
    assert _total(samples, "retried", "payments") > 0
    assert {
        load.queue for load in SCENARIOS["failing"].loads if _total(samples, "failed", load.queue)
    } == {"payments"}
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Very high failure ratio: bull:payments on default")
    shows_rates(page)
    fires_its_alerts(demo, "failing")
    demo.ends_cleanly(signal.SIGINT, children=4)


def test_duplicates_are_most_of_the_emails(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["duplicates"]
    samples = demo.until(
        lambda found: _total(found, "duplicated", "emails") > 40 and not _blocked(found),
        "duplicates",
    )
    ignored, added = (_total(samples, what, "emails") for what in ("duplicated", "added"))
    assert 0.6 < ignored / (ignored + added) < 0.7
    assert {
        load.queue
        for load in SCENARIOS["duplicates"].loads
        if _total(samples, "duplicated", load.queue)
    } == {"emails"}
    page = look(demo)
    page_says_what_metrics_say(
        page, demo, "Most adds ignored as duplicates: bull:emails on default"
    )
    shows_rates(page)
    fires_its_alerts(demo, "duplicates")
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_flow_names_parents_whose_children_are_gone(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["flow"]
    name = "bullmq_queue_stuck_jobs"
    samples = demo.until(
        lambda found: (value(found, name, queue="albums", kind="parent") or 0) > 1, "parents"
    )
    assert len(every(samples, name)) == 1
    assert _blocked(samples) == {}
    done = _total(samples, "completed", "albums")
    demo.until(lambda later: _total(later, "completed", "albums") > done, "other albums")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Stuck jobs: bull:albums on default (")
    assert "of its children, 3 do not exist any more" in page.verdict
    shows_rates(page)
    fires_its_alerts(demo, "flow")
    demo.ends_cleanly(signal.SIGINT, children=4)


def test_poison_names_the_job_that_ends_its_workers(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["poison"]
    name = "bullmq_queue_stuck_jobs"
    samples = demo.until(
        lambda found: value(found, name, queue="reports", kind="poison") == 1, "the poison job"
    )
    assert len(every(samples, name)) == 1
    assert _total(samples, "stalled", "reports") > 1
    done = _total(samples, "completed", "reports")
    demo.until(lambda later: _total(later, "completed", "reports") > done, "other reports")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Jobs stalled: bull:reports on default (")
    page.until(lambda s: "poison" in s.verdict and "it stalled" in s.verdict, "the job's name")
    shows_rates(page)
    fires_its_alerts(demo, "poison")
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_lost_misses_the_deleted_emails(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["lost"]

    def missed(samples: Samples, above: float) -> bool:
        found = every(samples, "bullmq_queue_jobs_unaccounted")
        by_queue = {dict(key[1])["queue"]: value for key, value in found.items()}
        return by_queue.pop("emails", 0) > above and not any(by_queue.values())

    first = demo.until(lambda samples: missed(samples, 0) and not _blocked(samples), "lost emails")
    before = max(every(first, "bullmq_queue_jobs_unaccounted").values())
    demo.until(lambda samples: missed(samples, before), "more lost emails")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Jobs vanished: bull:emails on default")
    shows_rates(page)
    fires_its_alerts(demo, "lost")
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_paused_names_the_paused_queue_alone(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["paused"]
    only = {("default", "emails"): "paused"}
    first = demo.until(lambda samples: _blocked(samples) == only, "emails alone is blocked")
    paused = every(first, "bullmq_queue_paused")
    assert [dict(key[1])["queue"] for key, is_ in paused.items() if is_] == ["emails"]
    waiting = jobs(first)["emails", "waiting"]
    demo.until(lambda samples: jobs(samples)["emails", "waiting"] > waiting, "more emails")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Queue paused: bull:emails on default")
    shows_rates(page)
    fires_its_alerts(demo, "paused")
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_isolation_has_jobs_here_and_workers_there(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["isolation"]
    fed = {load.queue for load in SCENARIOS["isolation"].loads if load.kinds}
    isolated = {("api", queue): "worker_isolated" for queue in fed}
    samples = demo.until(lambda found: _blocked(found) == isolated, "all are isolated")
    found = every(
        samples, "bullmq_worker_isolation", producer_connection="api", worker_connection="worker"
    )
    assert {dict(key[1])["queue"] for key in found} == fed
    assert value(samples, "bullmq_sync_success", writer="api", reader="worker") == 0
    assert value(samples, "bullmq_sync_success", writer="api", reader="api") == 1
    assert not any(
        n
        for (_, state), n in jobs(samples, connection="api").items()
        if state in ("active", "completed", "failed")
    )
    assert not any(jobs(samples, connection="worker").values())
    page = look(demo)
    page_says_what_metrics_say(
        page, demo, "Jobs and workers in different Redis databases: 4 queues"
    )
    assert "same Redis URL" in page.verdict
    fires_its_alerts(demo, "isolation")
    explains_the_rest(demo, "WorkerIsolation", {"NoWorkers", "QueueBlocked", "SyncTestFailing"})
    demo.ends_cleanly(signal.SIGINT, children=5)


def test_stuck_has_a_frozen_worker_with_jobs_in_flight(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["stuck"]
    only = {("default", "reports"): "workers_idle"}
    samples = demo.until(lambda found: _blocked(found) == only, "reports alone is blocked")
    assert value(samples, "bullmq_queue_workers", queue="reports") == 1
    found = jobs(samples)
    assert found["reports", "active"] > 0
    assert found["reports", "waiting"] > 0
    assert found["reports", "delayed"] > 0
    emails = _total(samples, "completed", "emails")
    demo.until(lambda later: _total(later, "completed", "emails") > emails, "other jobs")

    def reasons() -> dict[str, str | None]:
        return {v["queue"]: v["reason"] for v in demo.get("/health/queues").json["queues"]}

    others = {load.queue: None for load in SCENARIOS["stuck"].loads}
    wait_for(lambda: reasons() == others | {"reports": "workers_idle"}, "the same as JSON")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Queue blocked: bull:reports on default (workers_idle)")
    shows_rates(page)
    fires_its_alerts(demo, "stuck")
    assert [_state(pid) for pid in demo.children].count("T") == 1
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_busy_has_a_backlog_that_grows_while_jobs_finish(
    demos: dict[str, Demo], look: Look
) -> None:
    demo = demos["busy"]
    first = demo.until(lambda samples: _ready(samples, "images") > 1000, "a backlog")

    def grown(samples: Samples) -> bool:
        others = (
            n
            for (name, state), n in jobs(samples).items()
            if name != "images" and state == "waiting"
        )
        return (
            _ready(samples, "images") > _ready(first, "images")
            and _total(samples, "completed", "images") > _total(first, "completed", "images")
            and not _blocked(samples)
            and max(others) < 100
        )

    demo.until(grown, "more ready, and more completed, and no other backlog")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "All is well: 5 queues, none blocked")
    shows_rates(page)
    fires_its_alerts(demo, "busy")
    demo.ends_cleanly(signal.SIGINT, children=4)


def test_healthy_has_every_kind_of_job_and_nothing_waits(
    demos: dict[str, Demo], look: Look
) -> None:
    demo = demos["healthy"]
    loads = SCENARIOS["healthy"].loads
    kinds = {(load.queue, kind.name) for load in loads for kind in load.kinds}
    kinds |= {(load.queue, load.scheduler.name) for load in loads if load.scheduler}
    kinds |= {(load.queue, load.flow.name) for load in loads if load.flow}
    kinds |= {(load.flow.child_queue, load.flow.child) for load in loads if load.flow}
    demo.until(lambda samples: kinds <= _completed_kinds(samples), "every kind completed")
    wait_for(
        lambda: all(_is_well(demo.next_poll()) for _ in range(4)), "four polls in a row are well"
    )
    page = look(demo)
    page_says_what_metrics_say(page, demo, "All is well: 5 queues, none blocked")
    shows_rates(page)
    assert f"http://127.0.0.1:{demo.port}/health/redis" in demo.log
    assert SCENARIOS["healthy"].summary in demo.log


def test_healthy_fires_nothing(demos: dict[str, Demo]) -> None:
    """For longer than the others took, and the rules did run."""
    demo = demos["healthy"]
    wait_for(lambda: _evaluations(demo) >= EVALUATIONS, "evaluations")
    wait_for(lambda: firing(demo) == set(), "nothing fires")
    groups = demo.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert {rule["health"] for rule in rules} == {"ok"}
    shipped = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    assert includes(demo.alertmanager_config, shipped)
    demo.ends_cleanly(signal.SIGTERM, children=6)


def test_outage_is_over_and_jobs_go_on(demos: dict[str, Demo], screen: Screen) -> None:
    demo = demos["outage"]
    up = demo.until(lambda samples: not _is_down(samples) and bool(jobs(samples)), "up")
    assert jobs(up)[_DONE] > 10
    # the errors of the outage are still on the page
    screen.until(lambda s: len(s.rows()) == 5 and "unreachable" not in s.headline, "untouched")
    done = _total(up, "completed", "emails")
    demo.until(lambda samples: _total(samples, "completed", "emails") > done, "jobs go on")
    wait_for(lambda: not firing(demo), "nothing fires any more")
    demo.ends_cleanly(signal.SIGINT, children=4)


def _blocked(samples: Samples) -> dict[tuple[str, str], str]:
    """(connection, queue) → reason."""
    labels = [dict(key[1]) for key in every(samples, "bullmq_queue_blocked")]
    return {(each["connection"], each["queue"]): each["reason"] for each in labels}


def _total(samples: Samples, what: str, queue: str) -> float:
    """A counter of jobs over all job names."""
    return sum(every(samples, f"bullmq_queue_jobs_{what}_total", queue=queue).values())


def _completed_kinds(samples: Samples) -> set[tuple[str, str]]:
    found = every(samples, "bullmq_queue_jobs_completed_total")
    return {
        (dict(key[1])["queue"], dict(key[1])["job_name"]) for key, count in found.items() if count
    }


def _ready(samples: Samples, queue: str) -> int:
    found = jobs(samples)
    return found.get((queue, "waiting"), 0) + found.get((queue, "prioritized"), 0)


def _is_down(samples: Samples) -> bool:
    return value(samples, "bullmq_up") == 0


def _is_well(samples: Samples) -> bool:
    """Whether nothing waits, is late or fails, and each queue has its worker."""

    def values(name: str) -> set[float]:
        return set(every(samples, name).values())

    return (
        _blocked(samples) == {}
        and max(values("bullmq_queue_oldest_waiting_seconds"), default=99) < 5
        and values("bullmq_queue_delayed_overdue_jobs") == {0}
        and values("bullmq_queue_schedulers_overdue") == {0}
        and values("bullmq_queue_workers") == {1}
        and values("bullmq_sync_success") == {1}
    )


def _evaluations(demo: Demo) -> float:
    """How often the rules ran, by the Prometheus itself: of the group that ran least often."""
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.prometheus.port}/metrics") as answer:
        samples = parse(answer.read().decode())
    return min(every(samples, "prometheus_rule_group_iterations_total").values(), default=0)


def _state(pid: int) -> str:
    """The process's state as the kernel tells it: T is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
