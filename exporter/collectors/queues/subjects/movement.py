"""Whether ready work moves, seen by comparing one poll with the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects.active import Active
from exporter.collectors.queues.subjects.finished import COMPLETED_JOBS, FAILED_JOBS
from exporter.collectors.queues.subjects.prioritized import Job, Prioritized
from exporter.collectors.queues.subjects.waiting import Waiting
from exporter.state.queue_table import Column

READY_SINCE: Final = Column[float]("ready_since", internal=True)
"""Monotonic time since when there has always been ready work; None where there is none."""
STILL_SINCE: Final = Column[float]("still_since", internal=True)
"""Monotonic time since when ready work has not been seen to move; None where there is none."""


@dataclass(frozen=True, slots=True)
class MovementSigns:
    """What shows movement at one poll."""

    next_job: bytes | None = None
    """The job that the next worker takes from the list."""
    first_prioritized: Job | None = None
    """The most urgent prioritized job."""
    newest_active: bytes | None = None
    finished: tuple[int | None, int | None] = (None, None)
    """The numbers of completed and of failed jobs."""


class Movement(Subject):
    """Looks only at rows of which another subject saw a change, or whose work is newly ready."""

    columns = (READY_SINCE, STILL_SINCE)

    def __init__(
        self,
        queues: Sequence[Queue],
        waiting: Waiting,
        prioritized: Prioritized,
        active: Active,
    ) -> None:
        super().__init__(queues)
        size = len(queues)
        self._waiting = waiting
        self._prioritized = prioritized
        self._active = active
        self._completed, self._failed = ReplyCache(size), ReplyCache(size)
        self._progress = PerRow[MovementSigns](size, initial=MovementSigns())
        self._ready_since = PerRow[float | None](size, initial=None)
        self._still_since = PerRow[float | None](size, initial=None)

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        everyone = list(poll.rows)
        poll.moved.update(
            self._completed.update(everyone, poll.counts[COMPLETED_JOBS]),
            self._failed.update(everyone, poll.counts[FAILED_JOBS]),
        )
        for row, (ready, since) in enumerate(zip(poll.ready, self._ready_since, strict=True)):
            if not ready:
                if since is None:
                    continue
                self._ready_since[row] = self._still_since[row] = None
            elif since is None or row in poll.moved:
                self._note(poll, row)
        return {READY_SINCE: list(self._ready_since), STILL_SINCE: list(self._still_since)}

    def _note(self, poll: BatchPoll, row: int) -> None:
        now = self._seen(poll, row)
        if self._ready_since[row] is None:
            self._ready_since[row] = self._still_since[row] = poll.now
        elif has_moved(self._progress[row], now, self._waiting.jobs[row]):
            self._still_since[row] = poll.now
        self._progress[row] = now

    def _seen(self, poll: BatchPoll, row: int) -> MovementSigns:
        firsts, active = self._prioritized.first_jobs(row), self._active.ends(row)
        return MovementSigns(
            next_job=self._waiting.next_job(row),
            first_prioritized=firsts[0] if firsts else None,
            newest_active=active[-1] if active else None,
            finished=(poll.counts[COMPLETED_JOBS][row], poll.counts[FAILED_JOBS][row]),
        )


def has_moved(before: MovementSigns, now: MovementSigns, waiting: Sequence[bytes]) -> bool:
    """Whether a job was started between two polls, as far as can be seen.

    Any of: the numbers of finished jobs changed; another job is the newest active one; the job that
    was next is no longer among `waiting`, the jobs looked at; the most urgent prioritized job is
    gone, rather than overtaken by a more urgent one.
    """
    if now.finished != before.finished:
        return True
    if now.newest_active is not None and now.newest_active != before.newest_active:
        return True
    if before.next_job is not None and before.next_job not in waiting:
        return True
    return _first_is_gone(before.first_prioritized, now.first_prioritized)


def _first_is_gone(before: Job | None, now: Job | None) -> bool:
    if before is None:
        return False
    return now is None or (now.id != before.id and now.score >= before.score)
