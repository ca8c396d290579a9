"""`make demo`'s scenarios about single jobs: duplicated, stuck, poisonous, lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from exporter.demo.scenarios import SCENARIOS
from tests.support.demo import Demo
from tests.support.pages import Samples, every, value
from tests.support.scenarios import (
    Look,
    blocked,
    fires_its_alerts,
    page_says_what_metrics_say,
    shows_rates,
    total,
    with_one_prometheus,
)

SINGLE_JOBS = ("lost", "poison", "flow", "duplicates")
"""Those that show first what they must come first, because each ends with its test."""


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    with with_one_prometheus(SINGLE_JOBS, tmp_path_factory.mktemp("demo")) as started:
        yield started


def test_lost_misses_the_deleted_emails(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["lost"]

    def missed(samples: Samples, above: float) -> bool:
        found = every(samples, "bullmq_queue_jobs_unaccounted")
        by_queue = {dict(key[1])["queue"]: value for key, value in found.items()}
        return by_queue.pop("emails", 0) > above and not any(by_queue.values())

    first = demo.until(lambda samples: missed(samples, 0) and not blocked(samples), "lost emails")
    before = max(every(first, "bullmq_queue_jobs_unaccounted").values())
    demo.until(lambda samples: missed(samples, before), "more lost emails")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Jobs vanished: bull:emails on default")
    shows_rates(page)
    fires_its_alerts(demo, "lost")
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_poison_names_the_job_that_ends_its_workers(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["poison"]
    name = "bullmq_queue_stuck_jobs"

    def only_there(found: Samples) -> bool:
        named = value(found, name, queue="reports", kind="poison")
        stalled = total(found, "stalled", "reports") > 1
        # on a busy machine, the worker also takes jobs with it again and again that do no harm
        return bool(named and stalled and every(found, name) == every(found, name, queue="reports"))

    samples = demo.until(only_there, "the poison job, and no stuck jobs of other queues")
    done = total(samples, "completed", "reports")
    demo.until(lambda later: total(later, "completed", "reports") > done, "other reports")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Jobs stalled: bull:reports on default (")
    page.until(lambda s: "poison" in s.verdict and "it stalled" in s.verdict, "the job's name")
    shows_rates(page)
    fires_its_alerts(demo, "poison")
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_flow_names_parents_whose_children_are_gone(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["flow"]
    name = "bullmq_queue_stuck_jobs"

    def only_parents(found: Samples) -> bool:
        parents = value(found, name, queue="albums", kind="parent") or 0
        return parents > 1 and len(every(found, name)) == 1 and not blocked(found)

    samples = demo.until(only_parents, "parents, and no other stuck jobs")
    done = total(samples, "completed", "albums")
    demo.until(lambda later: total(later, "completed", "albums") > done, "other albums")
    page = look(demo)
    page_says_what_metrics_say(page, demo, "Stuck jobs: bull:albums on default (")
    assert "of its children, 3 do not exist any more" in page.verdict
    shows_rates(page)
    fires_its_alerts(demo, "flow")
    demo.ends_cleanly(signal.SIGINT, children=4)


def test_duplicates_are_most_of_the_emails(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["duplicates"]
    samples = demo.until(
        lambda found: total(found, "duplicated", "emails") > 40 and not blocked(found),
        "duplicates",
    )
    ignored, added = (total(samples, what, "emails") for what in ("duplicated", "added"))
    assert 0.6 < ignored / (ignored + added) < 0.7
    assert {
        load.queue
        for load in SCENARIOS["duplicates"].loads
        if total(samples, "duplicated", load.queue)
    } == {"emails"}
    page = look(demo)
    page_says_what_metrics_say(
        page, demo, "Most adds ignored as duplicates: bull:emails on default"
    )
    shows_rates(page)
    fires_its_alerts(demo, "duplicates")
    demo.ends_cleanly(signal.SIGTERM, children=4)
