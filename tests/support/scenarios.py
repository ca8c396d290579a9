"""The demo's scenarios in tests: what each must fire, and that page, metrics and alerts agree.

A machine that is busy itself can hold up any queue for a moment, so what a scenario shows is waited
for as a whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from exporter.demo.prometheus import local_prometheus
from tests.support.browser import Screen
from tests.support.demo import Demo, running_demos
from tests.support.page_vs_metrics import rate, until_they_agree
from tests.support.pages import Samples, every
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


@contextlib.contextmanager
def with_one_prometheus(names: Iterable[str], folder: Path) -> Iterator[dict[str, Demo]]:
    """Scenarios side by side, since most of their time is waiting, with a Prometheus for all."""
    require("prometheus")
    require("prometheus-alertmanager")
    with (
        running_demos(names, folder) as started,
        local_prometheus({n: f"127.0.0.1:{demo.port}" for n, demo in started.items()}) as pages,
    ):
        for name, demo in started.items():
            demo.job, demo.pages = name, pages
        yield started


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
    reasons = list(blocked(demo.samples()).values())
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


def is_complete(alert: dict[str, Any]) -> None:
    """No template failed, and it names its queue or connection and leads to its runbook."""
    annotations, labels = alert["annotations"], alert["labels"]
    assert "<" not in "".join(annotations.values()), annotations
    for part in about(labels).split():
        assert part in annotations["summary"], (labels, annotations)
    assert annotations["runbook_url"].endswith(f"#{labels['alertname'].lower()}")
    assert annotations["dashboard_url"].startswith("/d/bullmq-")
    assert labels["severity"] in {"critical", "warning", "info"}


def blocked(samples: Samples) -> dict[tuple[str, str], str]:
    """(connection, queue) → reason."""
    labels = [dict(key[1]) for key in every(samples, "bullmq_queue_blocked")]
    return {(each["connection"], each["queue"]): each["reason"] for each in labels}


def total(samples: Samples, what: str, queue: str) -> float:
    """A counter of jobs over all job names."""
    return sum(every(samples, f"bullmq_queue_jobs_{what}_total", queue=queue).values())
