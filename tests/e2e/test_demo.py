"""`make demo`'s command: every scenario shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.demo.scenarios import SCENARIOS
from tests.support.browser import Screen
from tests.support.daemon import command
from tests.support.demo import Demo, running_demos, start_demo
from tests.support.page_vs_metrics import agrees, rate
from tests.support.pages import Samples, every, jobs, value
from tests.support.waiting import wait_for

_DONE = ("emails", "completed")

Look = Callable[[Demo], Screen]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    """All scenarios at once, since most of their time is waiting; outage twice."""
    with running_demos([*SCENARIOS, "outage again"], tmp_path_factory.mktemp("demo")) as started:
        yield started


# the outages first: they take a minute, in which every other scenario unfolds


def test_outage_ends_cleanly_while_redis_is_down(demos: dict[str, Demo]) -> None:
    demo = demos["outage again"]
    demo.until(_is_down, "down")
    demo.ends_cleanly(signal.SIGTERM, children=3)


def test_outage_is_down_and_up_again_and_jobs_go_on(demos: dict[str, Demo], look: Look) -> None:
    demo = demos["outage"]
    demo.until(lambda samples: jobs(samples).get(_DONE, 0) > 10, "emails done")
    down = demo.until(lambda found: _is_down(found) and not jobs(found), "down, no jobs")
    assert every(down, "bullmq_queue_blocked") == {}
    screen = look(demo)
    assert screen.headline == "Redis unreachable: default"
    assert screen.rows() == []
    up = demo.until(lambda samples: not _is_down(samples) and bool(jobs(samples)), "up")
    assert jobs(up)[_DONE] > 10
    screen.until(lambda s: s.headline.startswith("All is well: 5 queues"), "well, untouched")
    done = _total(up, "completed", "emails")
    demo.until(lambda samples: _total(samples, "completed", "emails") > done, "jobs go on")
    demo.ends_cleanly(signal.SIGINT, children=4)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "outage"])
def test_the_status_page_says_what_the_metrics_say(
    demos: dict[str, Demo], look: Look, name: str
) -> None:
    demo = demos[name]
    faulty = name in ("stuck", "isolation", "paused")
    if faulty:
        demo.until(lambda found: bool(_blocked(found)), "blocked")
    screen = look(demo)
    screen.until(lambda s: agrees(s, demo), "the same as the metrics")
    reasons = list(_blocked(demo.samples()).values())
    start = f"{len(reasons)} of " if faulty else "All is well: 5 queues, none blocked"
    screen.until(lambda s: s.headline.startswith(start), "the verdict")
    assert screen.violations() == []
    if faulty:
        assert screen.rows()[0].reason == reasons[0]
    if name == "isolation":
        for text in ("The sync test failed", "reach different Redis", "give both the same URL"):
            assert text in screen.verdict
    else:
        screen.until(lambda s: rate(s, "images", "done") > 10, "rates")


def test_healthy_has_every_kind_of_job_and_nothing_waits(demos: dict[str, Demo]) -> None:
    demo = demos["healthy"]
    loads = SCENARIOS["healthy"].loads
    kinds = {(load.queue, kind.name) for load in loads for kind in load.kinds}
    kinds |= {(load.queue, load.scheduler.name) for load in loads if load.scheduler}
    kinds |= {(load.queue, load.flow.name) for load in loads if load.flow}
    kinds |= {(load.flow.child_queue, load.flow.child) for load in loads if load.flow}
    demo.until(lambda samples: kinds <= _completed_kinds(samples), "every kind completed")
    for _ in range(4):
        samples = demo.next_poll()
        assert _blocked(samples) == {}
        assert max(every(samples, "bullmq_queue_oldest_waiting_seconds").values()) < 5
        assert set(every(samples, "bullmq_queue_delayed_overdue_jobs").values()) == {0}
        assert set(every(samples, "bullmq_queue_schedulers_overdue").values()) == {0}
        assert set(every(samples, "bullmq_queue_workers").values()) == {1}
        assert set(every(samples, "bullmq_sync_success").values()) == {1}
    demo.ends_cleanly(signal.SIGTERM, children=4)
    assert f"http://127.0.0.1:{demo.port}/health/redis" in demo.log
    assert SCENARIOS["healthy"].summary in demo.log


def test_failing_fails_most_of_the_payments(demos: dict[str, Demo]) -> None:
    demo = demos["failing"]
    samples = demo.until(lambda found: _total(found, "failed", "payments") > 40, "failures")
    failed, completed = (_total(samples, end, "payments") for end in ("failed", "completed"))
    assert 0.6 < failed / (failed + completed) < 0.9
    assert _total(samples, "retried", "payments") > 0
    assert {
        load.queue for load in SCENARIOS["failing"].loads if _total(samples, "failed", load.queue)
    } == {"payments"}
    assert _blocked(samples) == {}
    demo.ends_cleanly(signal.SIGINT, children=4)


def test_paused_names_the_paused_queue_alone(demos: dict[str, Demo]) -> None:
    demo = demos["paused"]
    first = demo.until(lambda samples: bool(_blocked(samples)), "blocked")
    assert _blocked(first) == {("default", "emails"): "paused"}
    paused = every(first, "bullmq_queue_paused")
    assert [dict(key[1])["queue"] for key, is_ in paused.items() if is_] == ["emails"]
    waiting = jobs(first)["emails", "waiting"]
    demo.until(lambda samples: jobs(samples)["emails", "waiting"] > waiting, "more emails")
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_isolation_has_jobs_here_and_workers_there(demos: dict[str, Demo]) -> None:
    demo = demos["isolation"]
    fed = {load.queue for load in SCENARIOS["isolation"].loads if load.kinds}
    samples = demo.until(lambda found: len(_blocked(found)) == len(fed), "all blocked")
    assert _blocked(samples) == {("api", queue): "worker_isolated" for queue in fed}
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
    demo.ends_cleanly(signal.SIGINT, children=5)


def test_stuck_has_a_frozen_worker_with_jobs_in_flight(demos: dict[str, Demo]) -> None:
    demo = demos["stuck"]
    samples = demo.until(lambda found: bool(_blocked(found)), "blocked")
    assert _blocked(samples) == {("default", "reports"): "workers_idle"}
    assert value(samples, "bullmq_queue_workers", queue="reports") == 1
    found = jobs(samples)
    assert found["reports", "active"] > 0
    assert found["reports", "waiting"] > 0
    assert found["reports", "delayed"] > 0
    views = {view["queue"]: view for view in demo.get("/health/queues").json["queues"]}
    assert views["reports"]["reason"] == "workers_idle"
    assert {view["reason"] for name, view in views.items() if name != "reports"} == {None}
    emails = _total(samples, "completed", "emails")
    demo.until(lambda later: _total(later, "completed", "emails") > emails, "other jobs")
    assert [_state(pid) for pid in demo.children].count("T") == 1
    demo.ends_cleanly(signal.SIGTERM, children=4)


def test_busy_has_a_backlog_that_grows_while_jobs_finish(demos: dict[str, Demo]) -> None:
    demo = demos["busy"]
    first = demo.until(lambda samples: _ready(samples, "images") > 1000, "a backlog")

    def grown(samples: Samples) -> bool:
        return _ready(samples, "images") > _ready(first, "images") and (
            _total(samples, "completed", "images") > _total(first, "completed", "images")
        )

    later = demo.until(grown, "more ready, and more completed")
    assert _blocked(later) == {}
    assert all(
        n < 100
        for (name, state), n in jobs(later).items()
        if name != "images" and state == "waiting"
    )
    demo.ends_cleanly(signal.SIGINT, children=4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    demo = start_demo("healthy", tmp_path)
    pids = wait_for(lambda: demo.children, "a first child")
    demo.process.send_signal(number)
    demo.process.wait(timeout=10)
    demo.left_nothing(pids)


def test_help_lists_every_scenario_with_a_line() -> None:
    text = command("demo", "--help").stdout
    for scenario in SCENARIOS.values():
        assert f"  {scenario.name} " in text
        assert f" {scenario.summary}\n" in text


def test_an_unknown_scenario_is_told_with_those_that_are() -> None:
    ended = command("demo", "--scenario", "chaos")
    assert ended.returncode == 2
    assert "chaos" in ended.stderr
    assert "'isolation'" in ended.stderr


def _blocked(samples: Samples) -> dict[tuple[str, str], str]:
    """(connection, queue) → reason."""
    labels = [dict(key[1]) for key in every(samples, "bullmq_queue_blocked")]
    return {(each["connection"], each["queue"]): each["reason"] for each in labels}


def _total(samples: Samples, what: str, queue: str) -> float:
    """A counter of jobs over all job names."""
    return sum(every(samples, f"bullmq_jobs_{what}_total", queue=queue).values())


def _completed_kinds(samples: Samples) -> set[tuple[str, str]]:
    found = every(samples, "bullmq_jobs_completed_total")
    return {
        (dict(key[1])["queue"], dict(key[1])["job_name"]) for key, count in found.items() if count
    }


def _ready(samples: Samples, queue: str) -> int:
    found = jobs(samples)
    return found.get((queue, "waiting"), 0) + found.get((queue, "prioritized"), 0)


def _is_down(samples: Samples) -> bool:
    return value(samples, "bullmq_up") == 0


def _state(pid: int) -> str:
    """The process's state as the kernel tells it: T is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
