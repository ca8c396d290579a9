"""Events per minute, from the growth of the event totals. Pure; needs no command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.bullmq import Queue
from exporter.state.snapshots import EventFacts, QueueEvents, Snapshot

_WINDOW_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 15.0
"""Time between two remembered totals: six per connection cover the window."""
_MIN_SECONDS: Final = 5.0
"""A rate over a shorter time is noise."""


class Counts(NamedTuple):
    """A queue's events since the exporter first saw it, over all job names."""

    read: int
    """Events of any kind; while it is unchanged, so are the others."""
    added: int
    completed: int
    failed: int
    """Jobs that failed finally."""


_NOTHING: Final = Counts(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """The event counts of every queue at one time.

    Copied from the facts, because keeping those would keep their histograms for a minute as well.
    """

    at: float
    """Monotonic time."""
    queues: Mapping[Queue, Counts]


Past = tuple[Totals, ...]
"""Totals of a connection within the last minute, oldest first."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Events per minute, over the last minute or the known part of it."""

    added: float
    completed: float
    failed: float
    """Jobs that failed finally."""


def counts_of(events: QueueEvents) -> Counts:
    """The counts of one queue, summed over its job names."""
    if not events.read:
        return _NOTHING
    jobs = events.jobs.values()
    return Counts(
        events.read,
        sum([each.added for each in jobs]),
        sum([each.completed for each in jobs]),
        sum([each.failed for each in jobs]),
    )


def extend_past(past: Past, snapshot: Snapshot) -> Past:
    """The past plus the totals of a snapshot, without those older than the window."""
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
    # reuse the mapping while nothing changes
    longer = (*past, Totals(dated.at, known if queues == known else queues))
    # the window starts at the newest totals that are at least a window old
    too_old = sum(dated.at - each.at >= _WINDOW_SECONDS for each in longer) - 1
    return longer[max(0, too_old) :]


def rates(past: Past, at: float, queue: Queue, events: QueueEvents) -> Rates | None:
    """A queue's rates, given its events at that monotonic time; None until they are known."""
    for totals in past:
        before = totals.queues.get(queue)
        if before is not None:
            seconds = at - totals.at
            return _grown(before, events, seconds / 60) if seconds >= _MIN_SECONDS else None
    return None


def _grown(before: Counts, events: QueueEvents, minutes: float) -> Rates:
    if before.read == events.read:
        return Rates(0.0, 0.0, 0.0)
    # a total that has decreased was reset to 0
    grown = [b - a if b >= a else b for a, b in zip(before, counts_of(events), strict=True)]
    return Rates(grown[1] / minutes, grown[2] / minutes, grown[3] / minutes)
