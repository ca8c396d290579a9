"""Waiting jobs: their number, and how long the oldest has been ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import JOB_TIMES, Queue, is_marker, ready_since_ms
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
from exporter.collectors.queues.subjects.markers import Markers
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED_JOBS, Prioritized
from exporter.connection import Command, Reply
from exporter.state.queue_table import Column

WAITING: Final = Column[int]("waiting")
"""Number of jobs in the lists `wait` and `paused`."""
OLDEST_WAITING: Final = Column[float]("oldest_waiting_seconds")
"""Age of the oldest ready job, including prioritized jobs; 0 if no job is ready."""

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
_JOB: Final = Command("HMGET", "", JOB_TIMES, list, "ages of jobs")
"""Sent with the key of a job."""


class Waiting(Subject):
    """Reads the jobs at both ends of both lists, and the times of those that changed.

    The oldest ready job may be a prioritized one, so the first job of each priority is read too.
    """

    counts = (WAIT_LIST, PAUSED_LIST)
    commands = (_WAIT_TAIL, _WAIT_HEAD, _PAUSED_TAIL, _PAUSED_HEAD, _JOB)
    columns = (WAITING, OLDEST_WAITING)

    def __init__(self, queues: Sequence[Queue], markers: Markers, prioritized: Prioritized) -> None:
        super().__init__(queues)
        size = len(queues)
        self._markers = markers
        self._prioritized = prioritized
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
        self._oldest_ms = PerRow[float | None](size, initial=None)
        """Since when the oldest of them is ready, in Unix ms."""

    def next_job(self, row: int) -> bytes | None:
        """The job that a worker would take next from the list."""
        for tail in (self._wait_tail[row], self._paused_tail[row]):
            jobs: list[bytes] = [entry for entry in tail or () if not is_marker(entry)]
            if jobs:
                return jobs[-1]
        return None

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
        wanted = {row: jobs for row in changed if (jobs := self._jobs_now(poll, row))}
        for row in changed.difference(wanted):
            self.jobs[row], self._oldest_ms[row] = (), None
        # the times of the same jobs are known, and do not change while the jobs wait
        asked = [row for row, jobs in wanted.items() if jobs != self.jobs[row]]
        widths = [len(wanted[row]) for row in asked]

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, len(JOB_TIMES))
            start = 0
            for row, width in zip(asked, widths, strict=True):
                self._take_times(row, wanted[row], replies[start : start + width])
                start += width

        packed = [_JOB.on(self.queues[row].key + job) for row in asked for job in wanted[row]]
        return [Question(asked, b"".join(packed), widths, (list,), take)]

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

    def _take_times(self, row: int, jobs: tuple[bytes, ...], fields: Sequence[Reply]) -> None:
        known = [(job, times) for job, times in zip(jobs, fields, strict=True) if times is not None]
        ready_since = [ready_since_ms(job, times) for job, times in known]
        self.jobs[row] = jobs
        self._oldest_ms[row] = min((ms for ms in ready_since if ms is not None), default=None)

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        waiting = sums(poll.counts[WAIT_LIST], poll.counts[PAUSED_LIST])
        ready = sums(waiting, poll.counts[PRIORITIZED_JOBS])
        return {WAITING: waiting, OLDEST_WAITING: ages(poll, ready, self._oldest_ms)}


def _beyond_tail(poll: BatchPoll, lengths: Sequence[Reply]) -> list[int]:
    """The rows whose list has more jobs than are read from its tail."""
    return poll.where([length is not None and length > TAIL_JOBS for length in lengths])
