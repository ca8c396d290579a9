"""Two environments in one Prometheus: the same connections and queues, scraped as two jobs.

A real Prometheus evaluates every query of every panel. The pages that it scrapes differ in their
values only, and one job has two exporters, as for availability.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.rules import ALERTS, RECORDINGS, rules_file, scaled
from tests.support.catalogue_pages import served
from tests.support.dashboards import FILES, FOLDER, VALUES, filled, load, panels, targets
from tests.support.prometheus import Prometheus, Series, prometheus
from tests.support.requirements import require
from tests.support.waiting import wait_for

PRODUCTION, STAGING = "production", "staging"
JOBS = {PRODUCTION: 35_000, STAGING: 1_000}
"""The number on the pages of each job."""
WINDOWS = {"__rate_interval": "15s", "__range": "10m"}


@dataclass
class TwoJobs:
    """A Prometheus, and a time up to which everything is written."""

    prometheus: Prometheus
    time: float

    def ask(self, expr: str, job: str = ".+") -> list[Series]:
        return self.prometheus.query(filled(expr, VALUES | WINDOWS | {"job": job}), self.time)

    def panel(self, dashboard: str, title: str, job: str = ".+") -> list[list[Series]]:
        """What each query of a panel returns."""
        content = load(FOLDER / f"{dashboard}.json")
        (panel,) = [panel for panel in panels(content) if panel["title"] == title]
        return [self.ask(target["expr"], job) for target in panel["targets"]]


@pytest.fixture(scope="module")
def two_jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoJobs]:
    require("prometheus")
    rules = rules_file(scaled(ALERTS, 1 / 60, 5))
    with contextlib.ExitStack() as stack:
        # during a failover or an upgrade, two exporters of one Redis see different things
        differ = [
            {"role": (role,), "version": (version,)}
            for role, version in (("master", "7.2.4"), ("slave", "7.2.5"))
        ]
        ports = {
            PRODUCTION: [
                stack.enter_context(served(JOBS[PRODUCTION], labels)) for labels in differ
            ],
            STAGING: [stack.enter_context(served(JOBS[STAGING], differ[0]))],
        }
        folder = tmp_path_factory.mktemp("jobs")
        asked = stack.enter_context(prometheus(folder, ports, rules))
        scrapes = "min(count_over_time(bullmq_up[1m]))"
        wait_for(lambda: (asked.value(scrapes) or 0) >= 5, "five scrapes of each exporter")
        firing = (
            'count(count by (job) (ALERTS{alertname="BullMQQueueBlocked",alertstate="firing"}))'
        )
        wait_for(lambda: asked.value(firing) == len(JOBS), "the alert fires for both jobs")
        time = written(asked)
        wait_for(lambda: written(asked) > time, "all of that time is written")
        yield TwoJobs(asked, time)


def written(asked: Prometheus) -> float:
    """The time up to which every scrape and every rule has written its samples."""
    names = ("up", "ALERTS", *(rule.name for rule in RECORDINGS))
    return min(asked.value(f"min(timestamp({name}))") or 0 for name in names)


Values = dict[tuple[tuple[str, str], ...], float]
"""Labels → value."""


def by_labels(series: list[Series]) -> Values:
    found = {tuple(sorted(labels.items())): value for labels, value in series}
    assert len(found) == len(series)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_queries_keep_the_jobs_apart(two_jobs: TwoJobs, file: Path) -> None:
    """With all jobs, every series has its job, and the value that it has with that job alone."""
    for title, target in targets(load(file)):
        every = two_jobs.ask(target["expr"])
        assert {labels.get("job") for labels, _ in every} == set(JOBS), title
        for job in JOBS:
            alone = by_labels(two_jobs.ask(target["expr"], job))
            of_all = by_labels([series for series in every if series[0]["job"] == job])
            assert of_all == pytest.approx(alone, nan_ok=True, rel=1e-9), (title, job)


def test_a_number_is_that_of_one_job(two_jobs: TwoJobs) -> None:
    """Waiting and prioritized jobs; two exporters double nothing."""
    (ready,) = two_jobs.panel("bullmq-overview", "Ready")
    assert {labels["job"]: value for labels, value in ready} == {
        PRODUCTION: 70_000,
        STAGING: 2_000,
    }


def test_annotations_keep_the_jobs_apart(two_jobs: TwoJobs) -> None:
    for file in FILES:
        for annotation in load(file)["annotations"]["list"]:
            expr = annotation["target"]["expr"]
            for job in JOBS:
                assert {labels["job"] for labels, _ in two_jobs.ask(expr, job)} <= {job}


def test_connections_are_shown_while_two_exporters_differ(two_jobs: TwoJobs) -> None:
    """A row for what each of them sees; a join would refuse two series on its one side."""
    up, info = two_jobs.panel("bullmq-redis", "Connections", PRODUCTION)
    assert {labels["role"]: value for labels, value in up} == {"master": 1, "slave": 1}
    assert {labels["version"] for labels, _ in info} == {"7.2.4", "7.2.5"}
