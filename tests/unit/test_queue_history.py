"""The last hour of each queue: points, gaps, verdicts, and a budget that is never exceeded."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from math import isnan, nan

import pytest

from exporter.bullmq import Queue, queue_of
from exporter.exposition import Renderer
from exporter.state.queue_history import (
    STEPS,
    Point,
    QueueHistories,
    QueueHistory,
    VerdictChange,
    ring_bytes,
)
from exporter.state.snapshots import Dated, EventFacts, Snapshot
from exporter.state.store import SnapshotStore
from exporter.state.workers import WorkerCount
from tests.support.factories import config, queue_events, snapshot, stuck
from tests.support.stopped_clock import StoppedClock

MAIL = queue_of("bull", "mail")
SMS = queue_of("bull", "sms")
BUSY = Point(5, 20, 60, 30, 0, 2)
QUIET = Point(0, 0, 0, 0, 0, nan)
UNIX = 1e9
MEGABYTES = 1_000_000


class Recorded:
    """Histories with a clock of their own; Unix time is the monotonic time and a billion."""

    def __init__(self, max_bytes: int = 40 * MEGABYTES) -> None:
        self.histories = QueueHistories()
        self.max_bytes = max_bytes
        self.now = 6000.0

    def record(self, points: Mapping[Queue, Point], seconds: float = 15, name: str = "api") -> None:
        self.now += seconds
        if self.histories.due(name, self.now) is not None:
            self.histories.record(
                name,
                self.now,
                self.now + UNIX,
                points,
                valid_seconds=15,
                max_bytes=self.max_bytes,
            )

    def verdicts(self, blocked: Mapping[Queue, str]) -> None:
        unix = self.now + UNIX
        self.histories.note_verdicts("api", self.now, unix, blocked, self.max_bytes)

    def of(self, queue: Queue = MAIL) -> QueueHistory:
        found = self.histories.of("api", queue, self.now, self.now + UNIX)
        assert found is not None
        return found

    def ready(self, queue: Queue = MAIL) -> list[float | None]:
        """The numbers of ready jobs from the first known one on; None is a gap."""
        values = [None if isnan(each.ready) else each.ready for each in self.of(queue).points]
        first = next((i for i, value in enumerate(values) if value is not None), len(values))
        return values[first:]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def busy(number: int) -> Point:
    return BUSY._replace(ready=number)


def test_an_hour_of_points(recorded: Recorded) -> None:
    for number in range(1, 300):
        recorded.record({MAIL: busy(number)})
    found = recorded.of()
    assert found.step_seconds == 15
    assert len(found.points) == 240
    assert recorded.ready() == list(range(60, 300))
    assert found.points[-1] == busy(299)


def test_one_point_for_each_step(recorded: Recorded) -> None:
    for number in range(1, 10):
        recorded.record({MAIL: busy(number)}, seconds=5)
    assert recorded.ready() == [1, 4, 7]


@pytest.mark.parametrize("start", [0, 7, 14.9])
def test_a_whole_step_is_between_the_first_points(recorded: Recorded, start: float) -> None:
    """Whatever the clock shows at the first one, and if a poll ends a little early."""
    recorded.now += start
    recorded.record({MAIL: busy(1)})
    recorded.record({MAIL: busy(2)}, seconds=10)
    recorded.record({MAIL: busy(3)}, seconds=4.5)
    recorded.record({MAIL: busy(4)}, seconds=10.5)
    recorded.record({MAIL: busy(5)}, seconds=5)
    assert recorded.ready() == [1, 3, 5]


def test_what_was_not_read_is_a_gap(recorded: Recorded) -> None:
    recorded.record({MAIL: busy(1)})
    recorded.record({MAIL: busy(2)}, seconds=60)
    assert recorded.ready() == [1, None, None, None, 2]
    recorded.record({SMS: BUSY})
    recorded.record({MAIL: busy(4), SMS: BUSY})
    assert recorded.ready() == [1, None, None, None, 2, None, 4]


def test_slow_polls_repeat_what_is_still_shown() -> None:
    recorded = Recorded()
    for number in (1, 2):
        recorded.now += 60
        recorded.histories.record(
            "api",
            recorded.now,
            UNIX,
            {MAIL: busy(number)},
            valid_seconds=180,
            max_bytes=recorded.max_bytes,
        )
    assert recorded.ready() == [1, 1, 1, 1, 2]


def test_nothing_is_known_of_other_queues_and_connections(recorded: Recorded) -> None:
    recorded.record({MAIL: BUSY})
    assert recorded.histories.of("api", SMS, recorded.now, UNIX) is None
    assert recorded.histories.of("other", MAIL, recorded.now, UNIX) is None


def test_a_quiet_queue_takes_no_points_but_is_known(recorded: Recorded) -> None:
    recorded.record({MAIL: QUIET})
    recorded.record({MAIL: QUIET})
    assert recorded.histories.ring("api", MAIL) is None
    assert recorded.ready() == [0, 0]
    assert recorded.of().points[-1].added == 0
    recorded.record({MAIL: BUSY})
    assert recorded.ready() == [0, 0, 5]
    assert len(recorded.of().points) == 240


def test_rates_of_a_quiet_queue_are_unknown_without_events(recorded: Recorded) -> None:
    recorded.record({MAIL: QUIET._replace(added=nan, completed=nan, failed=nan)})
    recorded.record({MAIL: QUIET})
    recorded.record({MAIL: BUSY})
    assert isnan(recorded.of().points[-3].added)
    assert recorded.of().points[-2].added == 0


def test_unknown_jobs_are_no_quiet_queue(recorded: Recorded) -> None:
    recorded.record({MAIL: QUIET._replace(ready=nan)})
    assert recorded.histories.ring("api", MAIL) is not None


def test_points_go_after_a_quiet_hour_and_after_an_hour_without_the_queue(
    recorded: Recorded,
) -> None:
    recorded.record({MAIL: BUSY, SMS: BUSY})
    used = []
    for _ in range(241):
        recorded.record({MAIL: QUIET})
        used.append(recorded.histories.usage.bytes)
    assert recorded.histories.ring("api", MAIL) is None
    assert recorded.ready() == [0] * 240
    assert recorded.histories.of("api", SMS, recorded.now, UNIX) is None
    assert used[-1] < ring_bytes(15) < used[0]


def test_the_age_of_the_newest_point(recorded: Recorded) -> None:
    recorded.record({MAIL: BUSY})
    recorded.now += 40
    assert recorded.of().age_seconds == 40


def test_changes_of_the_verdict(recorded: Recorded) -> None:
    recorded.record({MAIL: BUSY})
    recorded.verdicts({MAIL: "paused"})
    first = recorded.now + UNIX
    recorded.record({MAIL: BUSY})
    recorded.verdicts({MAIL: "paused"})
    assert recorded.histories.blocked_since("api", MAIL) == first
    recorded.verdicts({MAIL: "no_workers"})
    recorded.record({MAIL: BUSY})
    recorded.verdicts({})
    assert recorded.of().changes == (
        VerdictChange(first, "paused"),
        VerdictChange(first + 15, "no_workers"),
        VerdictChange(first + 30, ""),
    )
    assert recorded.histories.blocked_since("api", MAIL) is None
    assert recorded.histories.blocked_since("api", SMS) is None


def test_old_changes_are_not_drawn_but_still_known(recorded: Recorded) -> None:
    recorded.verdicts({MAIL: "paused"})
    since = recorded.now + UNIX
    for _ in range(250):
        recorded.record({MAIL: BUSY})
    assert recorded.of().changes == ()
    assert recorded.histories.blocked_since("api", MAIL) == since


def test_a_verdict_that_flaps_takes_no_more_memory(recorded: Recorded) -> None:
    recorded.record({MAIL: BUSY})
    for number in range(100):
        recorded.now += 1
        recorded.verdicts({MAIL: "paused"} if number % 2 else {})
    assert len(recorded.of().changes) < 10


# --- the budget ----------------------------------------------------------------------------------


def many(number: int) -> list[Queue]:
    return [queue_of("bull", f"queue-{each}") for each in range(number)]


@pytest.mark.parametrize(("max_bytes", "step"), [(40 * MEGABYTES, 30), (20 * MEGABYTES, 60)])
def test_ten_thousand_queues_fit_into_the_budget(max_bytes: int, step: int) -> None:
    """By what Python itself measures, with full points, in time and through coarsening."""
    recorded, queues = Recorded(max_bytes), many(10_000)
    gc.collect()
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        for number in range(1, 5):
            recorded.verdicts(dict.fromkeys(queues[: number * 20], "paused"))
            recorded.record({queue: busy(number) for queue in queues}, seconds=step)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - base
    finally:
        tracemalloc.stop()
    usage = recorded.histories.usage
    assert recorded.of(queues[0]).step_seconds == step
    assert recorded.ready(queues[9999])[-1] == 4
    assert usage.skipped == 0
    assert taken <= usage.bytes <= max_bytes


def test_beyond_the_coarsest_step_blocked_queues_come_first() -> None:
    queues = many(100)
    recorded = Recorded(40 * ring_bytes(STEPS[-1]))
    recorded.record(dict.fromkeys(queues, BUSY), seconds=120)
    assert recorded.histories.usage.skipped == 60
    assert recorded.histories.usage.bytes <= recorded.max_bytes
    recorded.verdicts({queues[99]: "paused"})
    recorded.record(dict.fromkeys(queues, BUSY), seconds=120)
    assert recorded.histories.ring("api", queues[99]) is not None
    assert recorded.histories.usage.bytes <= recorded.max_bytes
    assert recorded.of(queues[99]).step_seconds == 120


def test_coarser_points_are_every_second_one() -> None:
    queues = many(20)
    recorded = Recorded(12 * ring_bytes(15))
    for number in range(1, 9):
        recorded.record({MAIL: busy(number)})
    newest = recorded.ready()[-1]
    recorded.record({MAIL: busy(9)} | dict.fromkeys(queues, BUSY), seconds=30)
    assert recorded.of().step_seconds == 30
    found = recorded.ready()
    assert newest == 8
    assert found[-1] == 9
    assert len([each for each in found if each is not None]) in (5, 6)
    assert recorded.histories.usage.bytes <= recorded.max_bytes


def test_a_smaller_budget_after_a_reload(recorded: Recorded) -> None:
    queues = many(50)
    recorded.record(dict.fromkeys(queues, BUSY))
    recorded.max_bytes = 10_000
    recorded.record(dict.fromkeys(queues, BUSY), seconds=120)
    assert recorded.histories.usage.bytes <= 10_000
    recorded.max_bytes = 0
    recorded.record(dict.fromkeys(queues, QUIET), seconds=120)
    recorded.verdicts({queues[0]: "paused"})
    recorded.record(dict.fromkeys(queues, QUIET), seconds=120)
    assert recorded.histories.usage.bytes == 0


def test_a_connection_that_is_not_read_any_more_makes_room(recorded: Recorded) -> None:
    recorded.record({MAIL: BUSY}, name="other")
    recorded.record({MAIL: BUSY})
    used = recorded.histories.usage.bytes
    for _ in range(240):
        recorded.record({MAIL: BUSY})
    assert recorded.histories.usage.bytes == used / 2
    assert recorded.histories.of("other", MAIL, recorded.now, UNIX) is None


def test_a_reload_forgets_only_connections_with_a_new_poller(recorded: Recorded) -> None:
    recorded.record({MAIL: BUSY})
    recorded.record({MAIL: BUSY}, name="other")
    recorded.histories.forget("other", recorded.now + 1)
    assert recorded.histories.of("other", MAIL, recorded.now, UNIX) is None
    assert recorded.of().points[-1] == BUSY
    # a moment from before the reload has facts of the connection's former Redis
    assert recorded.histories.due("other", recorded.now) is None
    recorded.record({MAIL: BUSY}, name="other", seconds=30)
    assert recorded.histories.of("other", MAIL, recorded.now, UNIX) is not None


# --- from snapshots ------------------------------------------------------------------------------


def polled(ready: int | None, added: int, completed: int) -> Snapshot:
    columns = {"waiting": ready, "oldest_waiting_seconds": 7.0, "ready_since": 0.0}
    found = snapshot("api", {("bull", "mail"): columns}, workers={("bull", "mail"): THREE})
    events = EventFacts({MAIL: queue_events(added=added, completed=completed)}, 0.0, 0)
    return replace(found, facts={**found.facts, EventFacts: Dated(events, found.at)})


THREE = WorkerCount(3, 0)


def test_the_renderer_records_what_polls_publish(clock: StoppedClock) -> None:
    store, settings = SnapshotStore(["api"]), config("api")
    renderer = Renderer(store, lambda: settings)
    for number in range(40):
        store.publish(polled(50 - number, 10 * number, 5 * number))
        renderer.render()
        clock.move(5)
    (last, *_) = store.snapshots()
    found = store.histories.of("api", MAIL, last.at, last.time)
    assert found is not None
    points = [point for point in found.points if not isnan(point.ready)]
    assert len(points) in (13, 14)
    assert {point.workers for point in points} == {3}
    assert {point.oldest_seconds for point in points} == {7}
    assert points[-1].added == pytest.approx(120)
    assert points[-1].completed == pytest.approx(60)
    assert points[-1].failed == 0
    assert isnan(points[0].added)
    store.change(["api"], kept=["api"])
    assert store.histories.of("api", MAIL, last.at, last.time) is not None
    store.change(["api"], kept=[])
    assert store.histories.of("api", MAIL, last.at, last.time) is None


def test_the_renderer_records_verdicts(clock: StoppedClock) -> None:
    store, settings = SnapshotStore(["api"]), config("api")
    renderer = Renderer(store, lambda: settings)
    store.publish(snapshot("api", {("bull", "mail"): stuck() | {"paused": 1}}))
    renderer.render()
    (last,) = store.snapshots()
    assert store.histories.blocked_since("api", MAIL) == last.time
