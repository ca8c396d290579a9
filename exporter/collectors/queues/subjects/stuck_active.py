"""Active jobs that no worker holds, and that no worker puts back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from exporter.bullmq import STALLED_CHECK_GRACE_SECONDS, Queue, is_marker
from exporter.collectors.queues.looks import LOOK_SECONDS, look_question
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, check_fields, check_string_lists
from exporter.collectors.queues.subjects.active import ACTIVE_LIST
from exporter.collectors.queues.subjects.liveness import Liveness
from exporter.collectors.queues.suspects import (
    MAX_NEW,
    MAX_SUSPECTS,
    NO_SUSPECTS,
    StuckSubject,
    unix_seconds,
)
from exporter.connection import Command, Reply
from exporter.parsing import id_text
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckJob, StuckJobs, StuckKind

STUCK_ACTIVE: Final = Column[StuckJobs]("stuck_active_examples", internal=True)
STUCK_ACTIVE_JOBS: Final = Column[int]("stuck_active")
"""None until the first stuck job of the queue is found."""

_COST: Final = "stuck active jobs"
_OLDEST: Final = Command("LRANGE", "active", (-MAX_SUSPECTS, -1), list, _COST, microseconds=3.0)
_SWEEP: Final = Command("EXISTS", "stalled-check", cost=_COST, microseconds=1.2)
_LOCK: Final = Command("EXISTS", ":lock", cost=_COST, microseconds=1.2)
_STARTED: Final = Command(
    "HMGET",
    "",
    ("processedOn",),
    list,
    "since when stuck jobs are active",
    microseconds=1.9,
)


class StuckActive(StuckSubject):
    """A worker renews the lock of its job, or the lock expires. The sweep of any worker moves such
    jobs back within two of its intervals, and renews `stalled-check` each time.

    Only queues are looked at whose oldest or newest active job has no lock, as `Liveness` has read.

    A job is stuck if its lock is missing at two looks, and `stalled-check` is missing at the second
    one: no worker sweeps, because none is there or all have `skipStalledCheck`. With
    `stalled-check`, it is stuck if its lock is missing for longer than two sweeps.
    """

    commands = (_OLDEST, _SWEEP, _LOCK, _STARTED)
    columns = (STUCK_ACTIVE, STUCK_ACTIVE_JOBS)
    kind = StuckKind.ACTIVE
    examples, number = columns

    def __init__(self, queues: Sequence[Queue], liveness: Liveness) -> None:
        super().__init__(queues)
        self._liveness = liveness
        self._looked: dict[int, list[bytes]] = {}
        """The jobs of this poll's look, by row."""
        self._sweeps: dict[int, Reply] = {}
        """Whether `stalled-check` exists; None if unknown."""

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self._looked = {}
        active = poll.counts[ACTIVE_LIST]
        asked = []
        for row in self.due(poll):
            suspected = self.suspects[row] is not NO_SUSPECTS
            if active[row] and (suspected or self._liveness.unheld[row]):
                asked.append(row)
            elif active[row] == 0 and suspected:
                self.clear(row)
        asked = self.affordable(poll, asked, self._mean_cost(asked))

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_string_lists(replies)
            for row, jobs in zip(rows, replies, strict=True):
                if jobs is not None:
                    self._looked[row] = self._jobs_to_look_at(row, jobs)

        packed = [_OLDEST.on(self.queues[row].key) for row in asked]
        return [look_question(poll, asked, b"".join(packed), [1] * len(asked), (_OLDEST,), take)]

    def _mean_cost(self, rows: Sequence[int]) -> float:
        jobs = sum(len(self.suspects[row].ids) for row in rows) / max(1, len(rows)) + MAX_NEW
        each = _LOCK.microseconds + _STARTED.microseconds
        return _OLDEST.microseconds + _SWEEP.microseconds + each * jobs

    def _jobs_to_look_at(self, row: int, jobs: Sequence[bytes]) -> list[bytes]:
        """The suspects that are still active, and the oldest of the others."""
        suspects = set(self.suspects[row].ids)
        oldest_first = [job for job in reversed(jobs) if not is_marker(job)]
        others = [job for job in oldest_first if job not in suspects]
        return [*(job for job in oldest_first if job in suspects), *others[:MAX_NEW]]

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        rows = list(self._looked)

        def take_sweeps(asked: Sequence[int], replies: list[Reply]) -> None:
            self._sweeps = dict(zip(asked, replies, strict=True))

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies[1::2], 1)
            start = 0
            for row in asked:
                end = start + 2 * len(self._looked[row])
                self._judge(poll, row, replies[start:end:2], replies[start + 1 : end : 2])
                start = end

        keys = [self.queues[row].key + job for row in rows for job in self._looked[row]]
        packed = b"".join([_LOCK.on(key) + _STARTED.on(key) for key in keys])
        widths = [2 * len(self._looked[row]) for row in rows]
        sweeps = b"".join([_SWEEP.on(self.queues[row].key) for row in rows])
        return [
            look_question(poll, rows, sweeps, [1] * len(rows), (_SWEEP,), take_sweeps),
            look_question(poll, rows, packed, widths, (_LOCK, _STARTED), take),
        ]

    def _judge(
        self, poll: BatchPoll, row: int, locks: Sequence[Reply], starts: Sequence[Reply]
    ) -> None:
        jobs = self._looked[row]
        swept = self._sweeps.get(row)
        proof = "no worker holds its lock" + ("" if swept else ", and none looks for such jobs")
        found: dict[bytes, StuckJob] = {}
        cleared = set(self.suspects[row].ids).difference(jobs)
        for job, locked, fields in zip(jobs, locks, starts, strict=True):
            if locked:
                cleared.add(job)
            elif locked == 0:
                started = fields[0] if fields else None
                found[job] = StuckJob(StuckKind.ACTIVE, id_text(job), unix_seconds(started), proof)
        patience = LOOK_SECONDS / 2 if swept == 0 else 2 * STALLED_CHECK_GRACE_SECONDS
        self.note_look(poll, row, found, cleared, patience)
