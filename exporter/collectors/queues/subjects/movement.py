"""Whether ready work moves, found by comparing each poll with the previous one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from exporter.bullmq import Queue
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects.active import Active
from exporter.collectors.queues.subjects.events_stream import EventsStream
from exporter.collectors.queues.subjects.finished import COMPLETED_JOBS, FAILED_JOBS
from exporter.collectors.queues.subjects.prioritized import Prioritized
from exporter.collectors.queues.subjects.sections import Job
from exporter.collectors.queues.subjects.waiting import PAUSED_LIST, TAIL_JOBS, WAIT_LIST, Waiting
from exporter.state.queue_table import Column

READY_SINCE: Final = Column[float]("ready_since", internal=True)
"""Monotonic time since when work has been ready without interruption; None if none is."""
STILL_SINCE: Final = Column[float]("still_since", internal=True)
"""Monotonic time since when ready work has not moved; None if no work is ready."""


class MovementSigns(NamedTuple):
    """The values at one poll that show movement if they change."""

    waiting: tuple[bytes, ...] = ()
    """The ready jobs that were read, at both ends of the lists."""
    waiting_count: int | None = 0
    next_job: bytes | None = None
    """The job that a worker would take next from the list."""
    last_job: bytes | None = None
    """The job at the other end of the list, where most jobs are added."""
    first_prioritized: Job | None = None
    """The prioritized job with the highest priority."""
    newest_active: bytes | None = None
    finished: tuple[int | None, int | None] = (None, None)
    """The numbers of completed and of failed jobs."""


class Movement(Subject):
    """Compares only rows in which a subject saw a change, or whose work has become ready."""

    columns = (READY_SINCE, STILL_SINCE)

    def __init__(
        self,
        queues: Sequence[Queue],
        waiting: Waiting,
        prioritized: Prioritized,
        active: Active,
        events: EventsStream,
    ) -> None:
        super().__init__(queues)
        size = len(queues)
        self._waiting = waiting
        self._prioritized = prioritized
        self._active = active
        self._events = events
        self._completed, self._failed = ReplyCache(size), ReplyCache(size)
        self._last_signs = PerRow[MovementSigns](size, initial=MovementSigns())
        self._ready_since = PerRow[float | None](size, initial=None)
        self._still_since = PerRow[float | None](size, initial=None)
        self._events_read = PerRow[int](size, initial=-1)
        """The number of events read when starts were last noted."""

    def has_moved_since(self, row: int, at: float) -> bool:
        """Whether ready work was seen to move after that monotonic time."""
        ready, still = self._ready_since[row], self._still_since[row]
        return ready is not None and still is not None and still > max(ready, at)

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        rows = list(poll.rows)
        poll.moved.update(
            self._completed.update(rows, poll.counts[COMPLETED_JOBS]),
            self._failed.update(rows, poll.counts[FAILED_JOBS]),
        )
        for row, (ready, since) in enumerate(zip(poll.ready, self._ready_since, strict=True)):
            if not ready:
                if since is None:
                    continue
                self._ready_since[row] = self._still_since[row] = None
            else:
                if since is None or row in poll.moved:
                    self._compare(poll, row)
                if (
                    since is None
                    or row in poll.restarted
                    or self._events.events_read[row] != self._events_read[row]
                ):
                    self._note_starts(poll, row)
        return {READY_SINCE: list(self._ready_since), STILL_SINCE: list(self._still_since)}

    def _note_starts(self, poll: BatchPoll, row: int) -> None:
        """A start is movement, also of a job with the same ID as before."""
        if row in poll.restarted:
            self._still_since[row] = poll.now
        self._events_read[row] = self._events.events_read[row]
        events, still = self._events.times[row], self._still_since[row]
        if events is not None and still is not None and (last := events.last_start_ms):
            started = poll.now - max(0.0, poll.now_ms - last) / 1000
            self._still_since[row] = max(still, started)

    def _compare(self, poll: BatchPoll, row: int) -> None:
        now = self._signs(poll, row)
        if self._ready_since[row] is None:
            self._ready_since[row] = self._still_since[row] = poll.now
        elif has_moved(self._last_signs[row], now):
            self._still_since[row] = poll.now
        self._last_signs[row] = now

    def _signs(self, poll: BatchPoll, row: int) -> MovementSigns:
        firsts, active = self._prioritized.first_jobs(row), self._active.ends(row)
        lists = (poll.counts[WAIT_LIST][row], poll.counts[PAUSED_LIST][row])
        return MovementSigns(
            waiting=self._waiting.jobs[row],
            waiting_count=None if None in lists else sum(lists),
            last_job=self._waiting.last_job(row),
            next_job=self._waiting.next_job(row),
            first_prioritized=firsts[0] if firsts else None,
            newest_active=active[-1] if active else None,
            finished=(poll.counts[COMPLETED_JOBS][row], poll.counts[FAILED_JOBS][row]),
        )


def has_moved(before: MovementSigns, now: MovementSigns) -> bool:
    """Whether a job was started between two polls, as far as visible.

    Any of: a number of finished jobs changed; another job is the newest active one; the next job
    was taken; the first prioritized job is gone, not merely behind one with a higher priority.
    """
    if now.finished != before.finished:
        return True
    if now.newest_active is not None and now.newest_active != before.newest_active:
        return True
    if _next_was_taken(before, now):
        return True
    return _first_is_gone(before.first_prioritized, now.first_prioritized)


def _next_was_taken(before: MovementSigns, now: MovementSigns) -> bool:
    """Whether the next job is gone from the list, rather than behind jobs added in front of it.

    With `lifo`, jobs are added at the end where workers take them. If that is all that happened,
    the list is longer by more jobs than were read, and its other end is the same.
    """
    if before.next_job is None or before.next_job in now.waiting:
        return False
    if now.next_job in before.waiting or None in (before.waiting_count, now.waiting_count):
        return True
    added = (now.waiting_count or 0) - (before.waiting_count or 0)
    return added < TAIL_JOBS or now.last_job != before.last_job


def _first_is_gone(before: Job | None, now: Job | None) -> bool:
    if before is None:
        return False
    return now is None or (now.id != before.id and now.score >= before.score)
