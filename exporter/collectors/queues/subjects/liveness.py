"""Whether a worker is alive, from `stalled-check` and job locks: CLIENT LIST may not show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from exporter.bullmq import STALLED_CHECK_GRACE_SECONDS, Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, question
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects.active import ACTIVE_LIST, Active
from exporter.connection import Command, Reply
from exporter.parsing import is_digits
from exporter.state.queue_table import Column

WORKER_ALIVE: Final = Column[int]("worker_alive", internal=True)
"""Whether `stalled-check` was written recently; None if not asked, because there is no work."""
ACTIVE_LOCKED: Final = Column[int]("active_locked", internal=True)
"""Whether a worker holds the lock of the oldest or the newest active job; None as above."""

STALLED_CHECK: Final = Command("GET", "stalled-check", (), bytes, "whether workers are alive")
_LOCK: Final = Command(
    "EXISTS", ":lock", cost="whether a worker still holds the oldest and the newest active job"
)
"""Sent with the keys of jobs."""

_VALID_SECONDS: Final = 15.0
"""How long replies are valid: workers write `stalled-check` every 30 s and locks every 15 s."""


class Liveness(Subject):
    """Asked only if jobs were ready or active at the last poll too: only then a worker matters.

    At the first poll, both are asked: a queue may have been without a worker for hours. A worker
    renews its locks, or they expire, and writes the time to `stalled-check`. Replies are valid for
    `_VALID_SECONDS`, and are discarded as soon as there is no work.
    """

    commands = (STALLED_CHECK, _LOCK)
    columns = (WORKER_ALIVE, ACTIVE_LOCKED)

    def __init__(self, queues: Sequence[Queue], active: Active) -> None:
        super().__init__(queues)
        size = len(queues)
        self._active = active
        self._ask_stalled_check = RowCommands(queues, STALLED_CHECK)
        self._worked_before = PerRow[bool](size, initial=True)
        """Whether jobs were ready or active at the last completed poll; true before the first."""
        self._stalled_check_ms = PerRow[float](size, initial=0.0)
        """The greatest value of `stalled-check` seen: when a worker last wrote it, in Unix ms."""
        self._known = PerRow[bool](size, initial=False)
        """Whether `stalled-check` has been read since there is work."""
        self._locked = PerRow[int | None](size, initial=None)
        self.unheld = PerRow[bool](size, initial=False)
        """Whether the oldest or the newest active job had no lock when that was last read."""
        self._packed_locks = PerRow[bytes](size, initial=b"")
        """The packed command that reads the locks; empty until needed."""
        self._locks_asked = PerRow[int](size, initial=0)
        """The number of locks that this command asks for."""

    def note(self, row: int, stalled_check: Reply) -> None:
        """Record a value of `stalled-check`, also one that another subject read."""
        if is_digits(stalled_check):
            self._stalled_check_ms[row] = max(self._stalled_check_ms[row], float(stalled_check))

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        for row in self._active.changed:
            self._packed_locks[row] = b""
        due = set(poll.rotation.due(len(self.queues), _VALID_SECONDS))
        flags = zip(poll.rows, _work(poll), self._worked_before, self._known, strict=True)
        asked = [r for r, now, before, known in flags if now and before and (not known or r in due)]
        return [self._locks(asked), question(asked, self._ask_stalled_check, self._take)]

    def _take(self, asked: Sequence[int], replies: list[Reply]) -> None:
        for row, value in zip(asked, replies, strict=True):
            self.note(row, value)
            self._known[row] = True

    def _locks(self, rows: Sequence[int]) -> Question:
        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            for row, locks in zip(asked, replies, strict=True):
                self._locked[row] = None if locks is None else int(locks > 0)
                self.unheld[row] = locks is not None and locks < self._locks_asked[row]

        asked = []
        for row in rows:
            if self._active.oldest_job[row] is None:
                self._locked[row], self.unheld[row] = None, False
            else:
                asked.append(row)
        packed = [self._packed_locks[row] or self._pack_locks(row) for row in asked]
        return Question(asked, b"".join(packed), [1] * len(asked), (int,), take)

    def _pack_locks(self, row: int) -> bytes:
        key = self.queues[row].key
        jobs = [key + job for job in dict.fromkeys(self._active.ends(row))]
        self._locks_asked[row] = len(jobs)
        packed = self._packed_locks[row] = _LOCK.on(*jobs)
        return packed

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        work = _work(poll)
        for row, (now, before) in enumerate(zip(work, self._worked_before, strict=True)):
            if before and not now:
                self._locked[row], self._known[row] = None, False
        self._worked_before[:] = work
        alive: list[int | None] = [None] * len(self.queues)
        locked: list[int | None] = [None] * len(self.queues)
        oldest = poll.now_ms - STALLED_CHECK_GRACE_SECONDS * 1000
        # for `unproven` rows, the subject `Existence` has read `stalled-check`
        for row in chain(poll.unproven, poll.where(self._known)):
            alive[row] = int(self._stalled_check_ms[row] > oldest)
            locked[row] = self._locked[row]
        return {WORKER_ALIVE: alive, ACTIVE_LOCKED: locked}


def _work(poll: BatchPoll) -> list[bool]:
    """Whether jobs are ready or active, by row."""
    active = poll.counts[ACTIVE_LIST]
    return [bool(ready or count) for ready, count in zip(poll.ready, active, strict=True)]
