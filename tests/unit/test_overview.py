"""The overview of the queues: order, filter and table."""

from __future__ import annotations

import time

import pytest

from exporter.bullmq import queue_of
from exporter.collectors.queues import STATES
from exporter.state.failures import FailureClass
from exporter.state.snapshots import EventFacts, QueueEvents
from exporter.state.workers import WorkerCount, WorkerFacts
from exporter.terminal.columns import aligned
from exporter.views.overview import FailureView, OddWorkersView, Overview, QueueView, overview
from exporter.views.queues_table import choose, failure_lines, table, worker_lines
from exporter.views.sorting import SORTS, in_order
from tests.support.factories import moment, snapshot_of
from tests.support.tables import queue_table


def view(queue: str, reason: str | None = None, **changes: object) -> QueueView:
    facts = {
        "connection": "api",
        "prefix": "bull",
        "queue": queue,
        "jobs": dict.fromkeys(STATES, 0),
        "paused": False,
        "oldest_waiting_seconds": 0.0,
        "oldest_active_seconds": 0.0,
        "delayed_overdue_jobs": 0,
        "groups": None,
        "stuck": (),
        "failures": (),
        "retries": (),
        "workers": 1,
        "idle_workers": 1,
        "kept_completed_per_minute": 0.0,
        "kept_failed_per_minute": 0.0,
        "worker_connections": (),
        "odd_workers": (),
        "added_per_minute": 0.0,
        "completed_per_minute": 0.0,
        "failed_per_minute": 0.0,
        "reason": reason,
        "hint": "because" if reason else None,
    }
    return QueueView(**(facts | changes))


def jobs(**counts: int | None) -> dict[str, int | None]:
    return dict.fromkeys(STATES, 0) | counts


MAIL = view(
    "mail",
    "no_workers",
    jobs=jobs(waiting=5),
    oldest_waiting_seconds=400,
    workers=0,
    idle_workers=0,
)
IMAGES = view("images", jobs=jobs(failed=9, active=2))
UNKNOWN = view(
    "x\n", jobs=jobs(waiting=None), oldest_waiting_seconds=None, workers=None, paused=True
)
ALL = Overview((MAIL, IMAGES, UNKNOWN), ())


@pytest.mark.parametrize(
    ("sort", "first"),
    [("name", "images"), ("ready", "mail"), ("oldest", "mail"), ("active", "images")]
    + [("failed", "images"), ("impact", "mail")],
)
def test_sorting(sort: str, first: str) -> None:
    assert choose(ALL, sort, "*", blocked=False)[0].queue == first
    assert sort in SORTS


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_can_be_reversed(sort: str) -> None:
    forward = in_order(ALL.queues, sort)
    backward = in_order(ALL.queues, sort, reverse=True)
    assert set(map(id, forward)) == set(map(id, backward)) == set(map(id, ALL.queues))


def test_impact_sorts_blocked_queues_first_then_by_waiting_time() -> None:
    many = view("many", jobs=jobs(waiting=1000), oldest_waiting_seconds=1.0)
    few = view("few", jobs=jobs(waiting=10), oldest_waiting_seconds=99.0)
    old = view("old", jobs=jobs(waiting=2), oldest_waiting_seconds=7200.0, reason="no_workers")
    new = view("new", jobs=jobs(waiting=3), oldest_waiting_seconds=70.0, reason="no_workers")
    paused = view("p", jobs=jobs(waiting=900), oldest_waiting_seconds=9000.0, reason="paused")
    order = [each.queue for each in in_order([few, UNKNOWN, paused, new, many, old], "impact")]
    assert order == ["old", "new", "p", "many", "few", UNKNOWN.queue]


def test_unknown_values_sort_last() -> None:
    for reverse in (False, True):
        assert in_order(ALL.queues, "waiting", reverse=reverse)[-1] is UNKNOWN
    assert in_order(ALL.queues, "oldest", reverse=True)[0] is IMAGES


def test_filter_by_pattern_and_blocked() -> None:
    assert choose(ALL, "name", "ma*", blocked=False) == [MAIL]
    assert choose(ALL, "name", "*", blocked=True) == [MAIL]
    assert choose(ALL, "name", "Mail", blocked=False) == []


def test_table() -> None:
    assert table([MAIL, UNKNOWN])[1:] == [
        ["bull:mail", *"5000000", "7m", "0", "no_workers"],
        ["bull:x? (paused)", "?", *"000000", "?", "?", ""],
    ]


def test_the_table_names_connections_if_there_are_several() -> None:
    rows = table([MAIL, view("mail", connection="worker")])
    assert [row[0] for row in rows[1:]] == ["api  bull:mail", "worker  bull:mail"]


def test_odd_workers_are_lines_below_the_table() -> None:
    odd = OddWorkersView("silent", "1 of 3 workers is silent\n", "restart it")
    assert worker_lines([MAIL, view("etl", odd_workers=(odd,))]) == [
        "bull:etl: 1 of 3 workers is silent?; restart it"
    ]


def test_classes_of_failures_and_of_retries_are_lines_below_the_table() -> None:
    failed = [FailureView(f"class {n}", 1000 - n, 1.0, 2.0, "7", n > 0, "x") for n in range(9)]
    retried = FailureView("timeout\n", 1, 1.0, 2.0, "7", True, "x")
    assert failure_lines([MAIL, view("etl", failures=tuple(failed), retries=(retried,))]) == [
        "999 failed jobs of bull:etl: class 1",
        "998 failed jobs of bull:etl: class 2",
        "997 failed jobs of bull:etl: class 3",
        "1 sampled as retried of bull:etl: timeout?",
    ]


def test_classes_of_the_last_hour_come_first() -> None:
    now_ms = int(time.time() * 1000)
    hour = 3_600_000
    classes = {
        "old": FailureClass(9, 1, now_ms - hour - 60_000, b"7", b"old"),
        "rare": FailureClass(1, 1, now_ms - hour + 60_000, b"8", b"rare"),
        "frequent": FailureClass(5, 1, now_ms, b"9", b"frequent"),
    }
    queue = queue_of("bull", "mail")
    events = QueueEvents(15, 0, {}, failures=classes)
    facts = (queue_table((queue,), [{"waiting": 0}]), EventFacts({queue: events}, 0.0, 0))
    (found,) = overview(moment(snapshot_of("api", *facts))).queues
    shown = [(each.name, each.recent) for each in found.failures]
    assert shown == [("frequent", True), ("rare", True), ("old", False)]


def test_an_empty_table_has_a_header() -> None:
    assert len(table([])) == 1


def test_columns_are_aligned_by_the_width_of_characters() -> None:
    rows = [["QUEUE", "READY", "REASON"], ["日本語キュー", "7", "x"], ["e\u0301", "12,345", ""]]
    assert aligned(rows) == [
        "QUEUE          READY  REASON",
        "日本語キュー       7  x",
        "e\u0301             12,345",
    ]


def test_workers_under_another_prefix_are_mentioned_in_the_hint() -> None:
    """It is not a reason: two prefixes in one database can be two environments."""
    now = time.monotonic()
    queues = (queue_of("bull", "mail"), queue_of("jobs", "mail"))
    nothing = dict.fromkeys(STATES, 0)
    since = {"ready_since": now - 100, "still_since": now - 100}
    rows = [
        nothing | {"waiting": 1, "has_id": 1, "worker_alive": 0} | since,
        nothing | {"has_id": 0, "worker_alive": 1},
    ]
    facts = (queue_table(queues, rows), WorkerFacts({queues[1]: WorkerCount(1, 1)}))
    found = overview(moment(snapshot_of("api", *facts)))
    assert found.isolations == ()
    assert found.queues[0].reason == "no_workers"
    assert found.queues[0].hint == (
        'no worker is connected here, but there are workers for "jobs:mail"'
    )
    assert found.queues[1].reason is None
