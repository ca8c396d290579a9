"""When a backlog is gone, and how many workers that takes. Pure.

It rests on the last ten minutes at most, and only on those in which jobs were ready all the time:
before, workers had less to do than they can. What came at once and made up most of the backlog is
taken as one burst, which does not repeat, so that only the time after it counts. Over that time,

- the backlog grows by the slope of the least-squares line through the numbers of ready jobs,
- jobs finish at the mean rate that the events show, and the rest is arithmetic: jobs arrive at the
  sum of both. That includes delayed jobs that become due and attempts that are retried, which no
  event counts as added;
- one worker finishes the jobs divided by the workers of that time, so that workers that have just
  started count at once, and are not asked for again.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, inf, isnan
from operator import mul
from typing import Final, NamedTuple

from exporter.diagnosis.blocked import Reason
from exporter.state.queue_history import FIELDS, Point

WINDOW_SECONDS: Final = 600
MIN_SECONDS: Final = 45
"""Over a shorter time, a rate is noise."""
_NEVER_SECONDS: Final = 30 * 86_400
"""A backlog that takes longer is as good as one that does not shrink."""

_READY, _ADDED, _COMPLETED, _FAILED, _WORKERS = (
    Point._fields.index(name) for name in ("ready", "added", "completed", "failed", "workers")
)


class Trend(NamedTuple):
    """A queue over the last minutes; rates are in jobs per second, None is unknown."""

    seconds: float
    """The time it is about."""
    busy: bool
    """Whether jobs were ready all that time, so that workers did what they can."""
    growth: float
    """Of the ready jobs."""
    added: float | None
    finished: float | None
    """Completed, or failed for good."""
    workers: float | None
    """Their mean number."""

    @property
    def arrived(self) -> float | None:
        """Jobs that became ready and will finish, whatever made them ready."""
        return None if self.finished is None else max(0.0, self.finished + self.growth)


IDLE: Final = Trend(
    float(WINDOW_SECONDS), busy=False, growth=0.0, added=0.0, finished=0.0, workers=None
)
"""Nothing was ready, and nothing happened."""


@dataclass(frozen=True, slots=True)
class Load:
    """A queue now; None is unknown."""

    ready: int | None
    active: int | None
    overdue: int | None
    """Delayed jobs that are due: a worker must promote them."""
    workers: int | None
    free_workers: int | None
    """Workers with a free slot."""
    mean_run_seconds: float | None
    concurrency_limit: int | None
    reason: Reason | None
    """Why the queue is blocked."""
    obstacle: Reason | None
    """Why more workers do not help, blocked or not."""
    obstacle_known: bool
    """Whether it is known that there is no other obstacle."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of a backlog; None is unknown."""

    drain_seconds: float | None
    """Until no job is ready; infinite if that is never at this rate."""
    workers_needed: int | None
    """To keep up, and to work the backlog off within the target; the present number if more do not
    help."""
    arrival_rate: float | None
    """Jobs per second that become ready."""
    finish_rate: float | None
    """Jobs per second that completed, or failed for good."""


def trend_of(values: Sequence[float], step: int) -> Trend | None:
    """The trend of a queue's points, field by field, `step` seconds apart; None if too short."""
    number = min(WINDOW_SECONDS // step + 1, len(values) // FIELDS)
    if not number:
        return None
    recent = array("f", values[len(values) - number * FIELDS :])
    ready = recent[_READY::FIELDS]
    busy = ready[-1] > 0
    first = _start(ready, busy=busy)
    first = _after_burst(ready, first) if busy else first
    count = number - first
    if count < 2 or (count - 1) * step < MIN_SECONDS:
        return None
    # what happened before the first point is not of this time
    flows = recent[(first + 1) * FIELDS :]
    completed, failed = _mean(flows[_COMPLETED::FIELDS]), _mean(flows[_FAILED::FIELDS])
    added = _mean(flows[_ADDED::FIELDS])
    return Trend(
        (count - 1) * step,
        busy,
        _slope(ready[first:]) / step if busy else 0.0,
        None if added is None else added / 60,
        None if completed is None or failed is None else (completed + failed) / 60,
        _mean(flows[_WORKERS::FIELDS]),
    )


def outlook(load: Load, trend: Trend | None, target_seconds: float) -> Outlook:
    """What becomes of the backlog, and the workers that drain it within `target_seconds`."""
    arrived = trend.arrived if trend is not None else None
    finished = trend.finished if trend is not None else None
    return Outlook(
        _drain_seconds(load, trend), _workers_needed(load, trend, target_seconds), arrived, finished
    )


def _drain_seconds(load: Load, trend: Trend | None) -> float | None:
    if not load.ready:
        return None if load.ready is None else 0.0
    limited = load.reason in (Reason.RATE_LIMITED, Reason.CONCURRENCY_LIMIT)
    if load.workers == 0 or load.obstacle is Reason.PAUSED or (load.reason and not limited):
        return inf
    if trend is None or not trend.busy:
        return None
    shrinks = -trend.growth
    if trend.finished and trend.workers and load.workers and load.obstacle is None:
        # at the rate of today's workers, not of those there were on average
        shrinks += trend.finished * (load.workers / trend.workers - 1)
    seconds = load.ready / shrinks if shrinks > 0 else inf
    return seconds if seconds <= _NEVER_SECONDS else inf


def _workers_needed(load: Load, trend: Trend | None, target_seconds: float) -> int | None:
    if load.ready is None:
        return None
    if load.obstacle is not None:
        return load.workers
    if not load.obstacle_known:
        return None
    least = _least(load)
    arrived = trend.arrived if trend is not None else None
    if arrived is None:  # the backlog may grow: at least as many as there are
        if load.workers is None:
            return None
        least, arrived = max(least, load.workers), 0.0
    work = arrived + load.ready / target_seconds
    if work == 0:
        return least
    each = _per_worker(load, trend)
    if each is None:
        return 1 if load.workers == 0 else None
    needed = max(least, ceil(work / each - 1e-6))
    limit = load.concurrency_limit
    return min(needed, max(limit, 1)) if limit is not None else needed


def _least(load: Load) -> int:
    """The workers that are needed for what is there now."""
    least = int(bool(load.ready or load.active or load.overdue))
    if not load.ready and load.workers is not None and load.free_workers is not None:
        least = max(least, load.workers - load.free_workers)  # all of their slots run jobs
    return least


def _per_worker(load: Load, trend: Trend | None) -> float | None:
    """Jobs per second that a worker finishes; None if unknown."""
    measured = trend.finished / trend.workers if trend and trend.finished and trend.workers else 0.0
    if measured and trend is not None and trend.busy:
        return measured
    # workers that wait could do more: at least a job after another
    possible = 0.0
    if load.mean_run_seconds:
        slots = ceil((load.active or 0) / load.workers) if load.workers else 1
        possible = max(slots, 1) / load.mean_run_seconds
    return max(measured, possible) or None


def _start(ready: Sequence[float], *, busy: bool) -> int:
    """The first point of the same kind as the last one, without a gap between."""
    for place in range(len(ready) - 1, -1, -1):
        value = ready[place]
        if isnan(value) or (busy and value == 0):
            return place + 1
    return 0


def _after_burst(ready: Sequence[float], first: int) -> int:
    """The first point from which on no single burst makes up most of the present backlog.

    Bursts that come again and again are no single one: they are a part of the load.
    """
    growths = [ready[place] - ready[place - 1] for place in range(first + 1, len(ready))]
    largest = max(growths, default=0.0)
    if largest <= ready[-1] / 2:
        return first
    bursts = [place for place, growth in enumerate(growths) if growth >= largest / 3]
    # one that lasts longer than from one point to the next is in two growths
    return first + bursts[-1] + 1 if bursts[-1] - bursts[0] <= 1 else first


def _mean(values: Sequence[float]) -> float | None:
    """The mean of the known values; None if fewer than half of them are."""
    total = sum(values)
    if not isnan(total):
        return total / len(values)
    known = [value for value in values if not isnan(value)]
    return sum(known) / len(known) if 2 * len(known) > len(values) else None


@cache
def _weights(number: int) -> Sequence[float]:
    """Numbers that, multiplied with the values and added up, are the slope for each step."""
    middle = (number - 1) / 2
    spread = sum((place - middle) ** 2 for place in range(number))
    return [(place - middle) / spread for place in range(number)]


def _slope(values: Sequence[float]) -> float:
    """The slope of the least-squares line, for each step: `history.slope` for even distances.

    It is computed for every queue that moves, at each page, and takes a ninth of the time.
    """
    return float(sum(map(mul, _weights(len(values)), values)))
