"""Counts the time in which queues are stuck beyond the targets of their SLOs.

The ages of the oldest jobs are those that the queue collector has found in the same poll. Time
counts only from one poll to the next. Nothing is known of the time of a failed poll, of one without
the ages, or of one that has not read all events: a job may have been started by one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from exporter.bullmq import Queue
from exporter.collectors.contract import Context
from exporter.collectors.events.streams import Stream
from exporter.state.oldest_jobs import OldestJobs
from exporter.state.snapshots import SloFacts


class SloTime:
    """Counts the time of the queues that have SLOs, at the end of each pass."""

    def __init__(self, max_seconds: float) -> None:
        """A pass that ends more than `max_seconds` after the last one starts the count again."""
        self._max_seconds = max_seconds
        self._streams: Sequence[Stream] = ()
        self._last: float | None = None
        """Monotonic time of the last pass."""
        self._lost: dict[Queue, int] = {}
        """The events that each queue had lost at the last pass."""
        self._queues: tuple[Queue, ...] = ()
        self._rows: dict[Queue, int] = {}
        """The places of the queues with SLOs in `_queues`."""

    def follow(self, streams: Sequence[Stream]) -> None:
        """Count the time of these streams from now on."""
        self._streams = [stream for stream in streams if stream.slos is not None]
        self._lost = {s.queue: self._lost.get(s.queue, s.aggregator.lost) for s in self._streams}
        self._queues, self._rows = (), {}

    def forget(self) -> None:
        """The time since the last pass is unknown."""
        self._last = None

    def advance(
        self, context: Context, behind: Collection[Stream]
    ) -> Mapping[Queue, tuple[SloFacts, ...]]:
        """Count the time since the last pass; returns the SLOs of all queues that keep events.

        `behind` are the streams that have unread events.
        """
        if not self._streams:
            return {}
        last, self._last = self._last, context.now
        oldest = context.oldest
        seconds = 0.0 if last is None else context.now - last
        known = last is not None and oldest.at > last and seconds <= self._max_seconds
        if oldest.queues is not self._queues:
            self._queues = oldest.queues
            places = {queue: row for row, queue in enumerate(oldest.queues)}
            found = ((s.queue, places.get(s.queue)) for s in self._streams)
            self._rows = {queue: row for queue, row in found if row is not None}
        unread = {stream.key for stream in behind}
        facts: dict[Queue, tuple[SloFacts, ...]] = {}
        for stream in self._streams:
            slos, row = stream.slos, self._rows.get(stream.queue)
            if slos is None or not stream.all_seen:
                continue
            lost = stream.aggregator.lost
            if (
                known
                and row is not None
                and stream.key not in unread
                and lost == self._lost[stream.queue]
            ):
                slos.advance(seconds, *_ages(oldest, row))
            else:
                slos.skip()
            self._lost[stream.queue] = lost
            facts[stream.queue] = slos.facts()
        return facts


def _ages(oldest: OldestJobs, row: int) -> tuple[float | None, float | None, float | None]:
    return oldest.waiting[row], oldest.overdue[row], oldest.active[row]
