"""The demo's loads: healthy scenarios are healthy, and failures have the declared rates."""

from __future__ import annotations

import pytest

from exporter.demo.loads import HEALTHY, JobKind, Load, healthy_but
from exporter.demo.producers import job
from exporter.demo.scenarios import SCENARIOS


def _busy_share(loads: tuple[Load, ...], load: Load) -> float:
    """The share of its worker that the load uses; 1 is all of it."""
    per_second = 1 / load.every_seconds if load.kinds else 0.0
    per_second += 1 / load.scheduler.every_seconds if load.scheduler else 0.0
    for flow in [other.flow for other in loads if other.flow is not None]:
        per_second += flow.children / flow.every_seconds if flow.child_queue == load.queue else 0.0
    per_second += 1 / load.flow.every_seconds if load.flow else 0.0
    return per_second * load.work_seconds / load.concurrency


@pytest.mark.parametrize("name", SCENARIOS)
def test_only_the_busy_queue_exceeds_half_of_its_workers_capacity(name: str) -> None:
    loads = SCENARIOS[name].loads
    over = {load.queue for load in loads if _busy_share(loads, load) > 0.5}
    assert over == ({"images"} if name == "busy" else set())


def test_failures_are_rare_in_healthy_loads() -> None:
    assert all(load.failing < 0.01 for load in HEALTHY)


def test_shares_of_the_jobs_fail_finally_or_once() -> None:
    kinds = (JobKind("once"), JobKind("thrice", {"attempts": 3}))
    load = Load("mail", 0.1, 1, kinds=kinds, failing=0.3, retried=0.5)
    jobs = [job(load, number) for number in range(1000)]
    failing = [made["data"]["failing"] for made in jobs]
    attempts = [made["opts"].get("attempts", 1) for made in jobs]
    for_good = [number for number in range(1000) if failing[number] == attempts[number]]
    assert len(for_good) == 300
    retried = [number for number in range(1000) if 0 < failing[number] < attempts[number]]
    assert retried
    assert {failing[number] for number in retried} == {1}
    assert {jobs[number]["name"] for number in retried} == {"thrice"}


def test_changing_one_healthy_load_keeps_the_others() -> None:
    changed = healthy_but("images", backlog=7)
    assert {load.queue: load.backlog for load in changed} == {
        load.queue: 7 if load.queue == "images" else 0 for load in HEALTHY
    }
