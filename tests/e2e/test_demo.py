"""`make demo`'s command: every scenario shows what it promises, fires its alerts at a real
Prometheus and Alertmanager, and leaves nothing behind.

Here are the healthy scenario and the outage; test_queue_scenarios.py and test_job_scenarios.py have
the others. The scenarios of a file run side by side, and each ends with its last test. By their
names, the files do not run beside each other, which would take more than the whole processor.
"""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser

from exporter.demo.scenarios import SCENARIOS
from tests.support.alert_tests import FOLDER
from tests.support.browser import Screen, screens
from tests.support.demo import Demo, running_demos
from tests.support.pages import Samples, every, jobs, parse, value
from tests.support.scenarios import (
    EXPECTED,
    Look,
    blocked,
    fires_its_alerts,
    firing,
    page_says_what_metrics_say,
    shows_rates,
    total,
    with_one_prometheus,
)
from tests.support.waiting import wait_for

EVALUATIONS = 23
"""Of every rule, one in two seconds: twice the longest that an alert of the demo waits."""
_DONE = ("emails", "completed")


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    """The outage, and the healthy scenario, which runs its own Prometheus."""
    folder = tmp_path_factory.mktemp("demo")
    with (
        with_one_prometheus(["outage"], folder) as outage,
        running_demos(["healthy"], folder, "--prometheus") as healthy,
    ):
        yield outage | healthy


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


def includes(loaded: Any, shipped: Any) -> bool:
    """Whether both are the same, but for what is set by default."""
    if isinstance(shipped, dict):
        return all(key in loaded and includes(loaded[key], shipped[key]) for key in shipped)
    if isinstance(shipped, list):
        return len(loaded) == len(shipped) and all(map(includes, loaded, shipped))
    return bool(loaded == shipped)


def test_each_scenario_says_what_it_fires() -> None:
    assert EXPECTED.keys() == SCENARIOS.keys() - {"healthy"}


# the outage lasts forty seconds, in which the healthy scenario unfolds


@pytest.mark.usefixtures("another_outage")  # it goes down a little later
def test_outage_is_down(demos: dict[str, Demo], screen: Screen) -> None:
    demo = demos["outage"]
    down = demo.until(lambda found: _is_down(found) and not jobs(found), "down, no jobs")
    assert every(down, "bullmq_queue_blocked") == {}
    headline = "Redis unreachable: default"
    screen.until(
        lambda s: (
            s.headline == headline
            and len(s.rows()) == 5
            and all(row.classes == ["old"] and not row.reason for row in s.rows())
        ),
        "down, and the queues as they were, without a verdict",
    )
    fires_its_alerts(demo, "outage")


def test_outage_ends_cleanly_while_redis_is_down(another_outage: Demo) -> None:
    another_outage.until(_is_down, "down")
    another_outage.ends_cleanly(signal.SIGTERM, children=3)


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
    """For twice as long as any alert of the demo waits, and the rules did run."""
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
    screen.until(
        lambda s: "unreachable" not in s.headline and [row.classes for row in s.rows()] == [[]] * 5,
        "untouched, and all as of now",
    )
    done = total(up, "completed", "emails")
    demo.until(lambda samples: total(samples, "completed", "emails") > done, "jobs go on")
    wait_for(lambda: not firing(demo), "nothing fires any more")
    demo.ends_cleanly(signal.SIGINT, children=4)


def _completed_kinds(samples: Samples) -> set[tuple[str, str]]:
    found = every(samples, "bullmq_queue_jobs_completed_total")
    return {
        (dict(key[1])["queue"], dict(key[1])["job_name"]) for key, count in found.items() if count
    }


def _is_down(samples: Samples) -> bool:
    return value(samples, "bullmq_up") == 0


def _is_well(samples: Samples) -> bool:
    """Whether nothing waits, is late or fails, and each queue has its worker."""

    def values(name: str) -> set[float]:
        return set(every(samples, name).values())

    return (
        blocked(samples) == {}
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
