"""What was known of each connection in the last half hour: counters, and ready jobs. Pure.

It answers what the present cannot: how fast a queue works, what has grown, what has never moved. It
needs no command. Rates, findings and the diagnosis rest on it; what `queue_history.py` draws of an
hour takes its rates from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.bullmq import Queue
from exporter.connection import ErrorClass
from exporter.state.kept import NO_KEPT_JOBS, KeptJobs, KeptRates
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import EventFacts, QueueEvents, ServerFacts, Snapshot

MINUTE_SECONDS: Final = 60.0
HISTORY_SECONDS: Final = 1800.0
"""The longest window of an alert."""
_STEP_SECONDS: Final = 15.0
"""Time between two entries of the last minute."""
_OLD_STEP_SECONDS: Final = 150.0
"""Time between two older entries."""
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
    stalled: int
    duplicated: int
    """Adds that were ignored because a job with the same ID exists."""


NO_EVENTS: Final = Counts(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """The facts of a connection at one time, without their histograms."""

    at: float
    """Monotonic time."""
    queues: Mapping[Queue, Counts]
    lost: Mapping[Queue, int]
    """Events lost, for the queues that have lost any."""
    ready: Mapping[Queue, int]
    """Ready jobs as far as they are known, for the queues that have any."""
    errors: Mapping[tuple[str, ErrorClass], int]
    """Errors by collector and class."""
    server: Mapping[str, float]
    """`ServerFacts.values`."""
    kept: KeptJobs = NO_KEPT_JOBS
    """The finished jobs that are kept."""


Past = tuple[Entry, ...]
"""Entries of a connection, oldest first."""


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
        return NO_EVENTS
    jobs = events.jobs.values()
    return Counts(
        events.read,
        sum([each.added for each in jobs]),
        sum([each.completed for each in jobs]),
        sum([each.failed for each in jobs]),
        sum([each.stalled for each in jobs]),
        sum([each.duplicated for each in jobs]),
    )


def extend_past(past: Past, snapshot: Snapshot) -> Past:
    """The past plus the facts of a snapshot, thinned out and without what is too old."""
    now = snapshot.at
    if past and now - past[-1].at < _STEP_SECONDS:
        return past
    return (*_thinned(past, now), _entry(past[-1] if past else None, snapshot))


def _thinned(past: Past, now: float) -> Past:
    """All entries of the last minute, and the first of each older step."""
    kept: list[Entry] = []
    for place, entry in enumerate(past):
        following = past[place + 1] if place + 1 < len(past) else None
        if following is not None and now - following.at >= HISTORY_SECONDS:
            continue  # the window starts at the newest entry that is at least a window old
        recent = following is None or now - following.at < MINUTE_SECONDS
        same_step = kept and entry.at // _OLD_STEP_SECONDS == kept[-1].at // _OLD_STEP_SECONDS
        if recent or not same_step:
            kept.append(entry)
    return tuple(kept)


def _entry(last: Entry | None, snapshot: Snapshot) -> Entry:
    events, table = snapshot.facts.get(EventFacts), snapshot.facts.get(QueueTable)
    server = snapshot.facts.get(ServerFacts)
    known = last.queues if last is not None else {}
    queues: Mapping[Queue, Counts] = {}
    lost: Mapping[Queue, int] = {}
    if events is not None and isinstance(events.facts, EventFacts):
        queues = {
            queue: counts
            if (counts := known.get(queue)) is not None and counts.read == each.read
            else counts_of(each)
            for queue, each in events.facts.queues.items()
        }
        lost = {queue: each.lost for queue, each in events.facts.queues.items() if each.lost}
    return Entry(
        snapshot.at,
        known if queues == known else queues,  # reuse the mapping while nothing changes
        lost,
        _ready(table.facts) if table is not None and isinstance(table.facts, QueueTable) else {},
        {
            (collector, kind): count
            for collector, report in snapshot.reports.items()
            for kind, count in report.errors.items()
        },
        server.facts.values if server is not None and isinstance(server.facts, ServerFacts) else {},
        _kept(last, table.facts) if table is not None else NO_KEPT_JOBS,
    )


def _kept(last: Entry | None, table: object) -> KeptJobs:
    if not isinstance(table, QueueTable):
        return NO_KEPT_JOBS
    found = KeptJobs.of_columns(table.queues, table.kept)
    return last.kept if last is not None and last.kept == found else found


def _ready(table: QueueTable) -> dict[Queue, int]:
    return {
        queue: count for queue, count in zip(table.queues, table.known_ready, strict=True) if count
    }


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the least-squares line, as `deriv` in Prometheus."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def window(past: Past, now: float, seconds: float) -> Past:
    """The entries of the last `seconds`, from the newest that is at least that old."""
    start = sum(now - entry.at >= seconds for entry in past) - 1
    return past[max(0, start) :]


def growth(before: float | None, after: float) -> float:
    """How much a counter has grown; one that fell was reset to 0."""
    return after if before is None or after < before else after - before


def rates(
    past: Past, at: float, queue: Queue, events: QueueEvents, seconds: float = MINUTE_SECONDS
) -> Rates | None:
    """A queue's rates, given its events at that monotonic time; None until they are known.

    They are over the last `seconds` or the known part of them; no entry is needed that is older
    than the first of `window(past, at, seconds)`.
    """
    return rates_within(window(past, at, seconds), at, queue, events)


def rates_within(recent: Past, at: float, queue: Queue, events: QueueEvents) -> Rates | None:
    """As `rates`, over all of the entries."""
    for entry in recent:
        before = entry.queues.get(queue)
        if before is not None:
            known = at - entry.at
            return _grown(before, events, known / 60) if known >= _MIN_SECONDS else None
    return None


def grown(past: Past, events: Mapping[Queue, QueueEvents]) -> dict[Queue, Counts]:
    """By how much the counters of the queues have grown since the first entry that has them.

    Without the queues that had no event since, and without those that no entry has.
    """
    found = {}
    left: Iterable[tuple[Queue, QueueEvents]] = events.items()
    for entry in past:
        known, unknown = entry.queues, []
        for queue, each in left:
            before = known.get(queue)
            if before is None:
                unknown.append((queue, each))
            elif before.read != each.read:
                pairs = zip(before, counts_of(each), strict=True)
                found[queue] = Counts(*[int(growth(a, b)) for a, b in pairs])
        left = unknown
    return found


def kept_rates(past: Past, now: float, table: QueueTable, row: int) -> KeptRates | None:
    """By how much the kept jobs of a row have grown, over the last half hour or the known part.

    None until a minute is known, or if they are unknown.
    """
    queue = table.queues[row]
    kept = table.kept.of(row)
    for entry in past:
        before = entry.kept.of(queue, row)
        if before is None:
            continue
        minutes = (now - entry.at) / 60
        if kept is None or minutes < 1:
            return None
        return KeptRates(
            (kept.completed - before.completed) / minutes, (kept.failed - before.failed) / minutes
        )
    return None


def _grown(before: Counts, events: QueueEvents, minutes: float) -> Rates:
    if before.read == events.read:
        return Rates(0.0, 0.0, 0.0)
    now = counts_of(events)
    return Rates(
        growth(before.added, now.added) / minutes,
        growth(before.completed, now.completed) / minutes,
        growth(before.failed, now.failed) / minutes,
    )
