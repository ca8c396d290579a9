"""Waiting jobs: their number, and how long the oldest has been ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from exporter.bullmq import (
    CLOCK_TOLERANCE_MS,
    JOB_TIMES,
    Queue,
    is_marker,
    time_ms,
)
from exporter.collectors.queues.arithmetic import ages, sums
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import (
    Question,
    RowCommands,
    cached_question,
    check_fields,
    check_string_lists,
)
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.events_stream import EventsStream
from exporter.collectors.queues.subjects.job_times import JOB, readiness
from exporter.collectors.queues.subjects.markers import Markers
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED_JOBS, Prioritized
from exporter.connection import Command, Reply
from exporter.state.queue_table import Column

WAITING: Final = Column[int]("waiting")
"""Number of jobs in the lists `wait` and `paused`."""
OLDEST_WAITING: Final = Column[float]("oldest_waiting_seconds")
"""Age of the oldest ready job, including prioritized jobs; 0 if no job is ready."""
OLDEST_WAITING_JOB: Final = Column[bytes]("oldest_waiting_job", internal=True)
"""The ID of that job; None if no job is ready, or no age is known."""

CLOCK_SKEW: Final = Column[float]("clock_skew_seconds", internal=True)
"""How far a producer's clock is ahead of the server's (behind, if negative), as far as the ready
jobs that were read show; None if they do not differ, or if it is unknown."""

# both lists in every version: an upgrade from 5 to 6 leaves the jobs of a paused queue in `paused`
_NUMBER: Final = "the number of waiting and of active jobs"
WAIT_LIST: Final = Count(Command("LLEN", "wait", cost=_NUMBER), ready=True, proves_existence=True)
PAUSED_LIST: Final = Count(
    Command("LLEN", "paused", cost=_NUMBER), ready=True, proves_existence=True
)

TAIL_JOBS: Final = 4
"""Number of jobs read at the end where workers take them; at the other end, one is read."""
_AGE: Final = "bullmq_queue_oldest_waiting_seconds"
_WAIT_TAIL: Final = Command("LRANGE", "wait", (-TAIL_JOBS, -1), list, _AGE)
_WAIT_HEAD: Final = Command("LINDEX", "wait", (0,), bytes, _AGE)
_PAUSED_TAIL: Final = Command("LRANGE", "paused", (-TAIL_JOBS, -1), list, _AGE)
_PAUSED_HEAD: Final = Command("LINDEX", "paused", (0,), bytes, _AGE)


class Waiting(Subject):
    """Reads the jobs at both ends of both lists, and their times.

    The oldest ready job may be a prioritized one: `Prioritized` says which these may be.

    While the IDs are the same, only the times of the oldest are read, and not even these if the
    events prove that nothing has happened: a job with the same ID may have been retried, or be
    another one, and then it is younger. So if the oldest has the same times, it is still the
    oldest; if not, the times of all are read again.
    """

    counts = (WAIT_LIST, PAUSED_LIST)
    commands = (_WAIT_TAIL, _WAIT_HEAD, _PAUSED_TAIL, _PAUSED_HEAD, JOB)
    columns = (WAITING, OLDEST_WAITING, OLDEST_WAITING_JOB, CLOCK_SKEW)

    def __init__(
        self,
        queues: Sequence[Queue],
        markers: Markers,
        prioritized: Prioritized,
        events: EventsStream,
    ) -> None:
        super().__init__(queues)
        size = len(queues)
        self._markers = markers
        self._prioritized = prioritized
        self._events = events
        self._ask_wait_tail = RowCommands(queues, _WAIT_TAIL)
        self._ask_wait_head = RowCommands(queues, _WAIT_HEAD)
        self._ask_paused_tail = RowCommands(queues, _PAUSED_TAIL)
        self._ask_paused_head = RowCommands(queues, _PAUSED_HEAD)
        self._wait_tail, self._wait_head = ReplyCache(size), ReplyCache(size)
        self._paused_tail, self._paused_head = ReplyCache(size), ReplyCache(size)
        self._changed: set[int] = set()
        """Rows whose jobs at the ends of the lists have changed since the last poll."""
        self.jobs = PerRow[tuple[bytes, ...]](size, initial=())
        """The IDs of the ready jobs that were read."""
        self._times = PerRow[tuple[Reply, ...]](size, initial=())
        """The times of these jobs, as in the replies; None where Redis replied with an error."""
        self._oldest = PerRow[int | None](size, initial=None)
        """The index of the oldest of them; None if any of their times is unknown."""
        self._oldest_ms = PerRow[float | None](size, initial=None)
        """Since when the oldest is ready of which that is known, in Unix ms."""
        self._oldest_job = PerRow[bytes | None](size, initial=None)
        """The ID of that job."""
        self._since_ms = PerRow[tuple[float | None, ...]](size, initial=())
        """Since when each of the jobs is ready, in Unix ms; None where that is unknown."""
        self._skew = PerRow[float | None](size, initial=None)
        """How far a producer's clock is ahead, in seconds; None if it is not."""
        self._events_read = PerRow[int](size, initial=-1)
        """Number of events that had been read when `_oldest_ms` was computed."""
        self._first_seen = PerRow[Mapping[bytes, float]](size, initial={})
        """When jobs were first seen whose times are lost, in Unix ms: they are ready at least since
        then."""
        self._again: list[int] = []
        """Rows whose oldest job has other times than at the last poll."""

    def next_job(self, row: int) -> bytes | None:
        """The job that a worker would take next from the list."""
        for tail in (self._wait_tail[row], self._paused_tail[row]):
            job: bytes
            for job in reversed(tail or ()):
                if not is_marker(job):
                    return job
        return None

    def oldest_since_ms(self, row: int) -> float | None:
        """Since when the oldest of the jobs that were read is ready, in Unix ms; None if that is
        unknown."""
        return self._oldest_ms[row]

    def since_ms(self, row: int) -> Mapping[bytes, float]:
        """Since when the jobs that were read are ready, in Unix ms, without unknown times."""
        pairs = zip(self.jobs[row], self._since_ms[row], strict=False)
        return {job: ms for job, ms in pairs if ms is not None}

    def last_job(self, row: int) -> bytes | None:
        """The job at the other end of the list, where jobs are added unless they are `lifo`."""
        for head, tail in (
            (self._wait_head[row], self._wait_tail[row]),
            (self._paused_head[row], self._paused_tail[row]),
        ):
            if head or tail:
                job: bytes = head or tail[0]
                return job
        return None

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self._changed = set()
        note = self._changed.update
        wait, paused = poll.counts[WAIT_LIST], poll.counts[PAUSED_LIST]
        in_wait, beyond_wait = poll.where(wait), _beyond_tail(poll, wait)
        in_paused, beyond_paused = poll.where(paused), _beyond_tail(poll, paused)
        return [
            cached_question(
                in_wait, self._ask_wait_tail, self._wait_tail, note, check_string_lists
            ),
            cached_question(beyond_wait, self._ask_wait_head, self._wait_head, note),
            cached_question(
                in_paused, self._ask_paused_tail, self._paused_tail, note, check_string_lists
            ),
            cached_question(beyond_paused, self._ask_paused_head, self._paused_head, note),
        ]

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        changed = self._changed | self._prioritized.changed
        poll.moved |= changed
        self._again = []
        for row in changed:
            jobs = self._jobs_now(poll, row)
            if jobs != self.jobs[row]:
                self.jobs[row], self._times[row], self._oldest[row] = jobs, (), None
                self._oldest_ms[row] = self._oldest_job[row] = self._skew[row] = None
                self._since_ms[row] = ()
        asked = self._may_be_other_jobs(poll) if any(self.jobs) else []
        known = [row for row in asked if self._oldest[row] is not None]
        unknown = [row for row in asked if self._oldest[row] is None]
        return [self._ask_all(poll, unknown), self._ask_oldest(poll, known)]

    def _may_be_other_jobs(self, poll: BatchPoll) -> list[int]:
        """The rows whose times must be read: jobs with the same IDs are the same only if nothing
        has happened in the queue."""
        facts = zip(poll.rows, self.jobs, self._times, self._events.quiet, strict=True)
        return [
            row
            for row, jobs, times, quiet in facts
            # an error may be over at the next poll
            if jobs and (not quiet or not times or None in times)
        ]

    def ask_again(self, poll: BatchPoll) -> Iterable[Question]:
        return [self._ask_all(poll, self._again)] if self._again else []

    def _ask_all(self, poll: BatchPoll, rows: Sequence[int]) -> Question:
        """Asks for the times of all jobs of these rows."""
        widths = [len(self.jobs[row]) for row in rows]

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, len(JOB_TIMES))
            rest = iter(replies)
            for row, width in zip(rows, widths, strict=True):
                self._times[row] = tuple(islice(rest, width))
                self._find_oldest(poll, row)

        packed = [JOB.on(self.queues[row].key + job) for row in rows for job in self.jobs[row]]
        return Question(rows, b"".join(packed), widths, (list,), take)

    def _ask_oldest(self, poll: BatchPoll, rows: Sequence[int]) -> Question:
        """Asks for the times of the oldest job of each row."""

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, len(JOB_TIMES))
            for row, place, times in zip(rows, places, replies, strict=True):
                before = self._times[row][place]
                if times != before:
                    self._again.append(row)
                    if times is not None and before is not None:
                        poll.restarted.add(row)

        places = [self._oldest[row] or 0 for row in rows]
        packed = [
            JOB.on(self.queues[row].key + self.jobs[row][place])
            for row, place in zip(rows, places, strict=True)
        ]
        return Question(rows, b"".join(packed), [1] * len(rows), (list,), take)

    def _jobs_now(self, poll: BatchPoll, row: int) -> tuple[bytes, ...]:
        """The IDs of the ready jobs to read."""
        if not poll.ready[row]:
            return ()
        entries: list[bytes | None] = []
        lists = (self._wait_tail, self._wait_head), (self._paused_tail, self._paused_head)
        for tail, head in lists:
            entries += tail[row] or ()
            if head[row] not in entries:
                entries.append(head[row])
        jobs = self._markers.jobs_of(row, entries)
        return (*jobs, *(job.id for job in self._prioritized.first_jobs(row)))

    def _find_oldest(self, poll: BatchPoll, row: int) -> None:
        """Find the oldest job from the times that were read and from the events."""
        jobs, events = self.jobs[row], self._events.times[row]
        self._events_read[row] = self._events.events_read[row]
        seen: dict[bytes, float] = {}
        skews: list[float] = []
        since: list[float | None] = []
        for job, times in zip(jobs, self._times[row], strict=True):
            known = None
            if times is not None:
                known, skew = readiness(events, job, times, poll.now_ms)
                if known is None:
                    created = time_ms(times[0])
                    if created is not None and created <= poll.now_ms + CLOCK_TOLERANCE_MS:
                        known = seen[job] = self._first_seen[row].get(job, poll.now_ms)
                skews.append(skew)
            since.append(known)
        self._first_seen[row] = seen
        self._since_ms[row] = tuple(since)
        self._skew[row] = max(skews, key=abs) / 1000 if any(skews) else None
        known_since = [ms for ms in since if ms is not None]
        oldest = self._oldest_ms[row] = min(known_since, default=None)
        self._oldest_job[row] = None if oldest is None else jobs[since.index(oldest)]
        complete = len(known_since) == len(since)
        self._oldest[row] = since.index(oldest) if complete and since else None

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        if any(self.jobs):
            read = self._events.events_read
            for row in self._events.changed:
                if self._times[row] and read[row] not in (self._events_read[row], -1):
                    self._find_oldest(poll, row)
        waiting = sums(poll.counts[WAIT_LIST], poll.counts[PAUSED_LIST])
        ready = sums(waiting, poll.counts[PRIORITIZED_JOBS])
        skew = [each if count else None for each, count in zip(self._skew, ready, strict=True)]
        since, oldest = list(self._oldest_ms), list(self._oldest_job)
        for row, (job, found) in self._prioritized.oldest_found().items():
            known = since[row]
            if known is None or found < known:
                since[row], oldest[row] = found, job
        return {
            WAITING: waiting,
            OLDEST_WAITING: ages(poll, ready, since),
            OLDEST_WAITING_JOB: oldest,
            CLOCK_SKEW: skew,
        }


def _beyond_tail(poll: BatchPoll, lengths: Sequence[Reply]) -> list[int]:
    """The rows whose list has more jobs than are read from its tail."""
    return poll.where([length is not None and length > TAIL_JOBS for length in lengths])
