"""Events per minute: how totals that are kept anyway have grown. Pure; nothing is read for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.bullmq import Queue
from exporter.snapshot import EventFacts, QueueEvents, Snapshot

_WINDOW_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 10.0
"""Between two totals that are remembered: seven a connection are enough for the window."""
_SHORTEST_SECONDS: Final = 5.0
"""A rate over less is noise."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What was known of every queue's events at a time."""

    at: float
    """Monotonic."""
    queues: Mapping[Queue, QueueEvents]


Past = tuple[Totals, ...]
"""Remembered totals of a connection, the oldest first."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Events per minute, over the last minute or what is known of it."""

    added: float
    completed: float
    failed: float
    """For good."""


def totals_of(snapshot: Snapshot) -> Totals | None:
    """The totals that a snapshot holds."""
    dated = snapshot.facts.get(EventFacts)
    if dated is None or not isinstance(dated.facts, EventFacts):
        return None
    return Totals(dated.at, dated.facts.queues)


def remembered(past: Past, totals: Totals | None) -> Past:
    """The past with these totals, without those that no window needs any more."""
    if totals is None or (past and totals.at - past[-1].at < _STEP_SECONDS):
        return past
    longer = (*past, totals)
    # the youngest that is a whole window old is where a window begins
    too_old = sum(totals.at - each.at >= _WINDOW_SECONDS for each in longer) - 1
    return longer[max(0, too_old) :]


def rates(past: Past, current: Totals, queue: Queue) -> Rates | None:
    """A queue's rates; None where it keeps no events or is not known for long enough."""
    events = current.queues.get(queue)
    if events is None:
        return None
    for totals in past:
        before = totals.queues.get(queue)
        if before is not None:
            minutes = (current.at - totals.at) / 60
            return _grown(before, events, minutes) if minutes * 60 >= _SHORTEST_SECONDS else None
    return None


def _grown(before: QueueEvents, now: QueueEvents, minutes: float) -> Rates:
    if before is now:
        return Rates(0.0, 0.0, 0.0)
    pairs = zip(_sums(before), _sums(now), strict=True)
    # a total that has shrunk began anew at 0
    added, completed, failed = (b - a if b >= a else b for a, b in pairs)
    return Rates(added / minutes, completed / minutes, failed / minutes)


def _sums(events: QueueEvents) -> Sequence[int]:
    """Over all job names."""
    jobs = events.jobs.values()
    return (
        sum(each.added for each in jobs),
        sum(each.completed for each in jobs),
        sum(each.failed for each in jobs),
    )
