"""`make demo`'s scenarios about queues: failing, paused, isolated, blocked, with a backlog."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.scenarios import SCENARIOS
from tests.support.demo import Demo
from tests.support.pages import Samples, every, jobs, value
from tests.support.scenarios import (
    Look,
    blocked,
    fires_its_alerts,
    page_says_what_metrics_say,
    shows_rates,
    total,
    with_one_prometheus,
)
from tests.support.waiting import wait_for

QUEUES = ("isolation", "stuck", "paused", "busy", "failing")
"""Those that show first what they must come first, because each ends with its test."""


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    with with_one_prometheus(QUEUES, tmp_path_factory.mktemp("demo")) as started:
        yield started


def test_isolation_has_jobs_here_and_workers_there(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["isolation"]
    fed = {load.queue for load in SCENARIOS["isolation"].loads if load.kinds}
    isolated = {("api", queue): "worker_isolated" for queue in fed}
    samples = demo.until(lambda found: blocked(found) == isolated, "all are isolated")
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
    for_top = r"REDIS_URL_API=redis://\S+ REDIS_URL_WORKER=redis://\S+ (\S+|\S+ -m exporter) top\n"
    found_top = re.search(for_top, demo.log)
    assert found_top
    assert shutil.which(found_top[1].split()[0])
    fires_its_alerts(demo, "isolation")
    explains_the_rest(demo, "WorkerIsolation", {"NoWorkers", "QueueBlocked", "SyncTestFailing"})
    demo.ends_cleanly(signal.SIGINT, children=5)


def test_stuck_has_a_frozen_worker_with_jobs_in_flight(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["stuck"]
    only = {("default", "reports"): "workers_idle"}
    samples = demo.until(lambda found: blocked(found) == only, "reports alone is blocked")
    assert value(samples, "bullmq_queue_workers", queue="reports") == 1
    found = jobs(samples)
    assert found["reports", "active"] > 0
    assert found["reports", "waiting"] > 0
    assert found["reports", "delayed"] > 0
    emails = total(samples, "completed", "emails")
    demo.until(lambda later: total(later, "completed", "emails") > emails, "other jobs")

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


def test_paused_names_the_paused_queue_alone(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["paused"]
    only = {("default", "emails"): "paused"}
    first = demo.until(lambda samples: blocked(samples) == only, "emails alone is blocked")
    paused = every(first, "bullmq_queue_paused")
    assert [dict(key[1])["queue"] for key, is_ in paused.items() if is_] == ["emails"]
    waiting = jobs(first)["emails", "waiting"]
    demo.until(lambda samples: jobs(samples)["emails", "waiting"] > waiting, "more emails")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Queue paused: bull:emails on default")
    shows_rates(page)
    fires_its_alerts(demo, "paused")
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
            and total(samples, "completed", "images") > total(first, "completed", "images")
            and not blocked(samples)
            and max(others) < 100
        )

    demo.until(grown, "more ready, and more completed, and no other backlog")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "All is well: 5 queues, none blocked")
    shows_rates(page)
    fires_its_alerts(demo, "busy")
    scale_fits_together(demo, "images")
    demo.ends_cleanly(signal.SIGINT, children=4)


def test_failing_fails_most_of_the_payments(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["failing"]
    samples = demo.until(
        lambda found: total(found, "failed", "payments") > 40 and not blocked(found), "failures"
    )
    failed, completed = (total(samples, end, "payments") for end in ("failed", "completed"))
    assert 0.6 < failed / (failed + completed) < 0.9
    assert total(samples, "retried", "payments") > 0
    assert {
        load.queue for load in SCENARIOS["failing"].loads if total(samples, "failed", load.queue)
    } == {"payments"}
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Very high failure ratio: bull:payments on default")
    shows_rates(page)
    fires_its_alerts(demo, "failing")
    demo.ends_cleanly(signal.SIGINT, children=4)


def scale_fits_together(demo: Demo, queue: str) -> None:
    """Of a backlog that grows: the workers needed divide what is added and what waits."""

    def known() -> dict[str, Any]:
        answer = demo.get(f"/scale?queue={queue}")
        found: dict[str, Any] = answer.json if answer.status == 200 else {}
        return found if found.get("drains") is not None and found["finish_rate"] else {}

    found = wait_for(known, "the drain time and the rates are known")
    assert found["rests_on_seconds"] >= 45
    assert (found["drains"], found["drain_seconds"], found["blocked"]) == (False, None, None)
    assert found["arrival_rate"] > found["finish_rate"]
    per_second = found["arrival_rate"] + found["ready"] / found["target_drain_seconds"]
    assert found["workers_needed"] == pytest.approx(
        per_second / found["finish_rate"] * found["workers"], abs=1.5
    )
    assert "jobs ready" in demo.get(f"/queue?name={queue}").text


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


def _ready(samples: Samples, queue: str) -> int:
    found = jobs(samples)
    return found.get((queue, "waiting"), 0) + found.get((queue, "prioritized"), 0)


def _state(pid: int) -> str:
    """The process's state as the kernel reports it: T is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
