"""Active jobs: their number, and how long the oldest has been running."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import CLOCK_TOLERANCE_MS, Queue
from exporter.collectors.queues.arithmetic import ages
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import (
    Question,
    RowCommands,
    cached_question,
    check_fields,
)
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.events_stream import EventsStream
from exporter.collectors.queues.subjects.markers import Markers
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply
from exporter.parsing import is_digits
from exporter.state.queue_table import Column

ACTIVE: Final = Column[int]("active")
OLDEST_ACTIVE: Final = Column[float]("oldest_active_seconds")
"""Run time of the active job that started first; 0 if no job is active."""
OLDEST_ACTIVE_JOB: Final = Column[bytes]("oldest_active_job", internal=True)
"""The ID of that job; None if no job is active."""

ACTIVE_LIST: Final = Count(
    Command("LLEN", "active", cost="the number of waiting and of active jobs"),
    ready=False,
    proves_existence=True,
    column=ACTIVE,
)

_AGE: Final = "the age of active jobs"
_OLDEST: Final = Command("LINDEX", "active", (-1,), bytes, _AGE)
_NEWEST: Final = Command("LINDEX", "active", (0,), bytes, _AGE)
_STARTED: Final = Command("HMGET", "", ("processedOn",), list, "ages of jobs")
"""Sent with the key of a job."""


class Active(Subject):
    """Reads the oldest and the newest active job, and when they were started.

    Jobs are added at index 0, so the last entry started first. The newest shows movement, so it is
    read if work is ready and there are several active jobs. Both are also read if a marker may be
    in the place of the oldest.
    """

    counts = (ACTIVE_LIST,)
    commands = (_OLDEST, _NEWEST, _STARTED)
    columns = (OLDEST_ACTIVE, OLDEST_ACTIVE_JOB)

    def __init__(
        self, queues: Sequence[Queue], settings: Settings, markers: Markers, events: EventsStream
    ) -> None:
        super().__init__(queues)
        size = len(queues)
        self._settings = settings
        self._markers = markers
        self._events = events
        self._ask_oldest = RowCommands(queues, _OLDEST)
        self._ask_newest = RowCommands(queues, _NEWEST)
        self._oldest, self._newest = ReplyCache(size), ReplyCache(size)
        self.changed: set[int] = set()
        """Rows whose oldest or newest active job has changed since the last poll."""
        self.oldest_job = PerRow[bytes | None](size, initial=None)
        """The ID of the active job that started first."""
        self._jobs = PerRow[tuple[bytes, ...]](size, initial=())
        """The IDs of the oldest and the newest active job, without duplicates."""
        self._packed_starts = PerRow[bytes](size, initial=b"")
        """The packed commands that read their start times."""
        self._starts = PerRow[Mapping[bytes, float | None]](size, initial={})
        """When the oldest and the newest were started, in Unix ms by their workers' clocks."""
        self._since = PerRow[float | None](size, initial=None)
        """When the oldest was started, in Unix ms by the server's clock."""

    def ends(self, row: int) -> list[bytes]:
        """The IDs of the oldest and the newest active job, as far as known; they may be equal."""
        return self._markers.jobs_of(row, (self._oldest[row], self._newest[row]))

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self.changed = set()
        active = poll.counts[ACTIVE_LIST]
        several = [
            count is not None and count > 1 and (ready or old)
            for count, ready, old in zip(
                active, poll.ready, self._settings.may_have_markers, strict=True
            )
        ]
        note = self.changed.update
        return [
            cached_question(poll.where(active), self._ask_oldest, self._oldest, note),
            cached_question(poll.where(several), self._ask_newest, self._newest, note),
        ]

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        poll.moved |= self.changed
        for row in self.changed:
            jobs = self._jobs[row] = tuple(dict.fromkeys(self.ends(row)))
            self.oldest_job[row] = jobs[0] if jobs else None
            self._since[row] = None
            key = self.queues[row].key
            self._packed_starts[row] = b"".join([_STARTED.on(key + job) for job in jobs])

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, 1)
            rest = iter(replies)
            for row in rows:
                self._take_starts(
                    poll, row, {job: _start_ms(next(rest)) for job in self._jobs[row]}
                )
                self._since[row] = self._server_start(poll, row)

        asked = self._may_be_other_attempts(poll) if any(self._jobs) else []
        packed = b"".join([self._packed_starts[row] for row in asked])
        return [Question(asked, packed, [len(self._jobs[row]) for row in asked], (list,), take)]

    def _may_be_other_attempts(self, poll: BatchPoll) -> list[int]:
        """The rows whose start times may be wrong: a job may be started again with the same ID."""
        pairs = zip(self._jobs, self._events.quiet, strict=True)
        return [
            row
            for row, (jobs, quiet) in enumerate(pairs)
            if jobs and not (quiet and row not in self.changed and self._are_known(row))
        ]

    def _are_known(self, row: int) -> bool:
        return None not in self._starts[row].values()

    def _take_starts(self, poll: BatchPoll, row: int, starts: Mapping[bytes, float | None]) -> None:
        before = self._starts[row]
        if starts == before:
            return
        self._starts[row] = starts
        known = [(before.get(job), start) for job, start in starts.items()]
        if any(None not in pair and pair[0] != pair[1] for pair in known):
            poll.restarted.add(row)

    def _server_start(self, poll: BatchPoll, row: int) -> float | None:
        """When the oldest job was started, by its event if its worker's clock is wrong.

        None if that is unknown. A start that is not wrong may be newer than the last event that
        was read: the job was started again since.
        """
        job = self.oldest_job[row]
        start = None if job is None else self._starts[row].get(job)
        if job is None or start is None:
            return None
        events = self._events.times[row]
        seen = None if events is None else events.active_since_ms(job)
        if start > poll.now_ms + CLOCK_TOLERANCE_MS:
            return seen
        return start if seen is None or start > seen - CLOCK_TOLERANCE_MS else float(seen)

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        oldest = [
            None if job is None else since
            for job, since in zip(self.oldest_job, self._since, strict=True)
        ]
        return {
            OLDEST_ACTIVE: ages(poll, poll.counts[ACTIVE_LIST], oldest),
            OLDEST_ACTIVE_JOB: list(self.oldest_job),
        }


def _start_ms(fields: Reply) -> float | None:
    """The start time in the reply; BullMQ 3 and 4 write it shortly after the job is active."""
    started = fields[0] if fields else None
    return float(started) if is_digits(started) else None
