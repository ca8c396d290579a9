"""Active jobs: their number, and how long the oldest has been running."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import Queue
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
from exporter.collectors.queues.subjects.markers import Markers
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply
from exporter.parsing import is_digits
from exporter.state.queue_table import Column

ACTIVE: Final = Column[int]("active")
OLDEST_ACTIVE: Final = Column[float]("oldest_active_seconds")
"""Run time of the active job that started first; 0 if no job is active."""

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
    """Reads the oldest and the newest active job, and the start time of the oldest.

    Jobs are added at index 0, so the last entry started first. The newest shows movement, so it is
    read if work is ready and there are several active jobs. Both are also read if a marker may be
    in the place of the oldest.
    """

    counts = (ACTIVE_LIST,)
    commands = (_OLDEST, _NEWEST, _STARTED)
    columns = (OLDEST_ACTIVE,)

    def __init__(self, queues: Sequence[Queue], settings: Settings, markers: Markers) -> None:
        super().__init__(queues)
        size = len(queues)
        self._settings = settings
        self._markers = markers
        self._ask_oldest = RowCommands(queues, _OLDEST)
        self._ask_newest = RowCommands(queues, _NEWEST)
        self._oldest, self._newest = ReplyCache(size), ReplyCache(size)
        self.changed: set[int] = set()
        """Rows whose oldest or newest active job has changed since the last poll."""
        self.oldest_job = PerRow[bytes | None](size, initial=None)
        """The ID of the active job that started first."""
        self._started_ms = PerRow[float | None](size, initial=None)
        """When it started, in Unix ms by its worker's clock."""

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
            job = next(iter(self.ends(row)), None)
            if job != self.oldest_job[row]:
                self.oldest_job[row], self._started_ms[row] = job, None

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, 1)
            for row, fields in zip(rows, replies, strict=True):
                # BullMQ 3 and 4 write the start time shortly after the job becomes active
                started = fields[0] if fields else None
                self._started_ms[row] = float(started) if is_digits(started) else None

        jobs = zip(poll.rows, self.oldest_job, self._started_ms, strict=True)
        asked = [(row, job) for row, job, started in jobs if started is None and job is not None]
        packed = [_STARTED.on(self.queues[row].key + job) for row, job in asked]
        rows = [row for row, _ in asked]
        return [Question(rows, b"".join(packed), [1] * len(rows), (list,), take)]

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        return {OLDEST_ACTIVE: ages(poll, poll.counts[ACTIVE_LIST], self._started_ms)}
