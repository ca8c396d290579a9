"""Drain time and workers needed, against simulated backlogs whose future is known."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from exporter.diagnosis import Reason
from exporter.diagnosis.drain import IDLE, Load, Trend, outlook, trend_of
from exporter.state.queue_history import STEPS, Point

LOAD = Load(
    ready=100,
    active=0,
    overdue=0,
    workers=2,
    free_workers=0,
    mean_run_seconds=None,
    concurrency_limit=None,
    reason=None,
    obstacle=None,
    obstacle_known=True,
)
BUSY = Trend(600, busy=True, growth=-1.0, added=1.0, finished=2.0, workers=2.0)


class Backlog:
    """A queue with workers of exponential run times, second by second."""

    def __init__(self, seed: int, arrivals: Callable[[int], float], per_worker: float = 1.0):
        self._random = random.Random(seed)  # noqa: S311 - to repeat a failure
        self._arrivals = arrivals
        self._per_worker = per_worker
        self.second = 0
        self.ready = 0
        self.workers = 10
        self.points: list[Point] = []
        self._added = self._finished = 0

    def run(self, seconds: int, step: int = 15) -> None:
        """Let time pass, and record a point after every step."""
        for _ in range(seconds):
            added = self._poisson(self._arrivals(self.second))
            done = min(self.ready + added, self._poisson(self.workers * self._per_worker))
            self.ready += added - done
            self._added, self._finished = self._added + added, self._finished + done
            self.second += 1
            if self.second % step == 0:
                minutes = step / 60
                rates = (self._added / minutes, self._finished / minutes, 0)
                self.points.append(Point(self.ready, 1, *rates, self.workers))
                self._added = self._finished = 0

    def seconds_to_drain(self) -> int:
        """The true answer: how long it takes from here on. It goes on with other random numbers."""
        future = Backlog(self._random.randrange(10**9), self._arrivals, self._per_worker)
        future.second, future.ready, future.workers = self.second, self.ready, self.workers
        began = future.second
        while future.ready and future.second - began < 86_400:
            future.run(1)
        return future.second - began

    def trend(self, step: int = 15) -> Trend:
        found = trend_of(values(self.points), step)
        assert found is not None
        return found

    def load(self) -> Load:
        return replace(LOAD, ready=self.ready, active=self.workers, workers=self.workers)

    def _poisson(self, mean: float) -> int:
        """Events of a second at that mean rate."""
        number, left = 0, self._random.expovariate(1) if mean else inf
        while left < mean:
            number, left = number + 1, left + self._random.expovariate(1)
        return number


def values(points: list[Point]) -> array[float]:
    return array("f", [value for point in points for value in point])


def constant(_: int) -> float:
    return 5.0


def bursty(second: int) -> float:
    """300 jobs in the first ten seconds of every minute, and none after."""
    return 30.0 if second % 60 < 10 else 0.0


def one_burst(second: int) -> float:
    """A steady trickle, and 3,000 jobs at once after ten minutes."""
    return 3000.0 if second == 600 else 4.0


def growing(second: int) -> float:
    """More and more, beyond what the workers can do."""
    return 9.0 + second / 200


SHAPES = {"constant": (constant, 3000), "bursty": (bursty, 3000), "one burst": (one_burst, 0)}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_drain_time_is_right_in_nine_of_ten(shape: str, step: int) -> None:
    """Within a fifth of what then happens. Each run has its own random arrivals and run times."""
    arrivals, backlog = SHAPES[shape]
    errors = []
    for seed in range(30):
        queue = Backlog(seed, arrivals)
        queue.run(540, step)
        queue.ready += backlog
        queue.run(60 + 240 + seed * 3 // step * step, step)
        found = outlook(queue.load(), queue.trend(step), 600).drain_seconds
        assert found is not None
        truth = queue.seconds_to_drain()
        errors.append(abs(found - truth) / truth)
    wrong = [error for error in errors if error > 0.2]
    assert len(wrong) <= len(errors) / 10, sorted(errors)


def test_a_growing_backlog_never_drains() -> None:
    never = 0
    for seed in range(20):
        queue = Backlog(seed, growing)
        queue.run(900)
        never += outlook(queue.load(), queue.trend(), 600).drain_seconds == inf
    assert never >= 18


def test_workers_that_were_added_count_at_once() -> None:
    """The drain time follows within a fifth a minute after the workers, not after ten."""
    wrong = 0
    for seed in range(30):
        queue = Backlog(seed, constant)
        queue.workers, queue.ready = 6, 4000
        queue.run(900)
        queue.workers = 12
        queue.run(60)
        found, truth = outlook(queue.load(), queue.trend(), 600), queue.seconds_to_drain()
        assert found.drain_seconds is not None
        wrong += abs(found.drain_seconds - truth) / truth > 0.2
    assert wrong <= 3


@pytest.mark.parametrize("shape", ["constant", "bursty"])
def test_an_autoscaler_reaches_the_target_without_running_away(shape: str) -> None:
    """A scaler that asks every 15 s and always obeys: it drains in time and does not overshoot."""
    arrivals, _ = SHAPES[shape]
    needed = (5 * 900 + 6000) / 900
    for seed in range(10):
        queue = Backlog(seed, arrivals)
        queue.workers = 5
        queue.run(300)
        queue.ready += 6000
        queue.run(60)
        most = 0
        for _ in range(60):
            found = outlook(queue.load(), queue.trend(), 900).workers_needed
            assert found is not None
            most, queue.workers = max(most, found), found
            queue.run(15)
        assert needed * 0.8 <= most <= needed * 1.4
        assert queue.ready < 6000 * 0.6


def test_an_idle_queue_gives_workers_back() -> None:
    """Ten workers with a job of 0.1 s each now and then need one."""
    queue = Backlog(1, lambda _: 2.0, per_worker=10)
    queue.run(600)
    load = replace(queue.load(), ready=0, active=0, free_workers=10, mean_run_seconds=0.1)
    assert outlook(load, queue.trend(), 600).workers_needed == 1


# --- edges ---------------------------------------------------------------------------------------


def needed(trend: Trend | None = BUSY, target: float = 100, **changes: Any) -> int | None:
    return outlook(replace(LOAD, **changes), trend, target).workers_needed


def drain(trend: Trend | None = BUSY, **changes: Any) -> float | None:
    return outlook(replace(LOAD, **changes), trend, 100).drain_seconds


def test_the_arithmetic() -> None:
    # two workers finish two jobs a second, and one arrives
    assert drain() == 100
    assert needed() == 2
    assert needed(target=50) == 3
    assert drain(workers=4) == pytest.approx(100 / 3)
    found = outlook(LOAD, BUSY, 100)
    assert (found.arrival_rate, found.finish_rate) == (1, 2)


def test_no_backlog() -> None:
    assert drain(IDLE, ready=0) == 0
    assert drain(None, ready=0) == 0
    assert needed(IDLE, ready=0, free_workers=2) == 0
    assert needed(IDLE, ready=0, active=1, free_workers=2) == 1
    # somebody must promote them
    assert needed(IDLE, ready=0, overdue=3, free_workers=2) == 1
    # workers without a free slot run long jobs
    assert needed(IDLE, ready=0, active=2, free_workers=0) == 2


def test_unknown_is_not_zero() -> None:
    assert drain(ready=None) is None
    assert needed(ready=None) is None
    assert drain(None) is None
    assert needed(None, workers=None) is None
    assert needed(obstacle_known=False) is None
    assert needed(BUSY._replace(finished=None)) is None
    # without events, the backlog itself shows the drain time
    assert drain(BUSY._replace(finished=None)) == 100


def test_nothing_drains_without_workers() -> None:
    assert drain(workers=0) == inf
    assert needed(None, workers=0) == 1
    assert needed(None, workers=0, mean_run_seconds=3.0) == 3
    assert drain(BUSY._replace(growth=0.0)) == inf
    assert drain(BUSY._replace(growth=-1e-9)) == inf


def test_not_fewer_workers_while_the_trend_is_unknown() -> None:
    assert needed(None, workers=7, mean_run_seconds=0.001) == 7


@pytest.mark.parametrize("reason", [each for each in Reason if each is not Reason.NO_WORKERS])
def test_no_more_workers_where_they_do_not_help(reason: Reason) -> None:
    assert needed(target=1, obstacle=reason, obstacle_known=False) == 2
    assert needed(target=1, obstacle=reason, workers=None) is None


def test_a_blocked_queue_never_drains_unless_it_is_limited() -> None:
    assert drain(reason=Reason.WORKERS_IDLE, obstacle=Reason.WORKERS_IDLE) == inf
    assert drain(obstacle=Reason.PAUSED) == inf
    assert drain(reason=Reason.RATE_LIMITED, obstacle=Reason.RATE_LIMITED) == 100
    # more workers do not speed it up
    assert drain(obstacle=Reason.RATE_LIMITED, workers=4) == 100


def test_no_more_workers_than_jobs_may_run_at_a_time() -> None:
    assert needed(target=1, concurrency_limit=5) == 5


def test_a_gap_ends_the_time_that_counts() -> None:
    busy = [Point(100 - number, 1, 0, 240, 0, 1) for number in range(20)]
    gap = Point(nan, nan, nan, nan, nan, nan)
    found = trend_of(values([*busy, gap, *busy[:5]]), 15)
    assert found is not None
    assert found.seconds == 60
    assert trend_of(values([*busy, gap, *busy[:3]]), 15) is None
    assert trend_of(values([]), 15) is None


def test_rates_that_are_mostly_unknown_are_unknown() -> None:
    points = [Point(9, 1, nan, nan, nan, nan)] * 6 + [Point(9, 1, 60, 60, 0, 2)] * 5
    found = trend_of(values(points), 15)
    assert found is not None
    assert (found.added, found.finished, found.workers, found.arrived) == (None,) * 4
