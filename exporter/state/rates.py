"""Events per minute: how totals that are kept anyway have grown. Pure; nothing is read for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.bullmq import Queue
from exporter.state.snapshots import EventFacts, QueueEvents, Snapshot

_WINDOW_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 15.0
"""Between two totals that are remembered: six a connection are enough for the window."""
_SHORTEST_SECONDS: Final = 5.0
"""A rate over less is noise."""


class Counts(NamedTuple):
    """A queue's events since the exporter saw it first, over all job names."""

    read: int
    """Events of whatever kind: where it is the same, so are the others."""
    added: int
    completed: int
    failed: int
    """For good."""


_NOTHING: Final = Counts(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """What was known of every queue's events at a time.

    The facts themselves would do, but their histograms would be kept with them for a minute.
    """

    at: float
    """Monotonic."""
    queues: Mapping[Queue, Counts]


Past = tuple[Totals, ...]
"""Remembered totals of a connection, the oldest first."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Events per minute, over the last minute or what is known of it."""

    added: float
    completed: float
    failed: float
    """For good."""


def counts_of(events: QueueEvents) -> Counts:
    """The counts of a queue."""
    if not events.read:
        return _NOTHING
    jobs = events.jobs.values()
    return Counts(
        events.read,
        sum([each.added for each in jobs]),
        sum([each.completed for each in jobs]),
        sum([each.failed for each in jobs]),
    )


def remembered(past: Past, snapshot: Snapshot) -> Past:
    """The past with what a snapshot tells, without what no window needs any more."""
    dated = snapshot.facts.get(EventFacts)
    if dated is None or not isinstance(dated.facts, EventFacts):
        return past
    if past and dated.at - past[-1].at < _STEP_SECONDS:
        return past
    known = past[-1].queues if past else {}
    queues = {
        queue: counts
        if (counts := known.get(queue)) is not None and counts.read == events.read
        else counts_of(events)
        for queue, events in dated.facts.queues.items()
    }
    # the same mapping for as long as nothing moves
    longer = (*past, Totals(dated.at, known if queues == known else queues))
    # the youngest that is a whole window old is where a window begins
    too_old = sum(dated.at - each.at >= _WINDOW_SECONDS for each in longer) - 1
    return longer[max(0, too_old) :]


def rates(past: Past, at: float, queue: Queue, events: QueueEvents) -> Rates | None:
    """A queue's rates by its events at that monotonic time; None until they can be told."""
    for totals in past:
        before = totals.queues.get(queue)
        if before is not None:
            seconds = at - totals.at
            return _grown(before, events, seconds / 60) if seconds >= _SHORTEST_SECONDS else None
    return None


def _grown(before: Counts, events: QueueEvents, minutes: float) -> Rates:
    if before.read == events.read:
        return Rates(0.0, 0.0, 0.0)
    # a total that has shrunk began anew at 0
    grown = [b - a if b >= a else b for a, b in zip(before, counts_of(events), strict=True)]
    return Rates(grown[1] / minutes, grown[2] / minutes, grown[3] / minutes)
