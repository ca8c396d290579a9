"""Why attempts fail that are retried: a sample, since the event stream does not say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.looks import RETRIES, look_question
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, check_fields
from exporter.collectors.queues.suspects import MAX_NEW, LookingSubject
from exporter.connection import Command, Reply
from exporter.state.failures import Failures
from exporter.state.queue_table import Column

RETRY_REASONS: Final = Column[Failures]("retry_reasons", internal=True)
"""The classes of the reasons that were read; None if no retry was seen, or reasons are not wanted.
A class's times are those of the looks."""

_COST: Final = "why attempts fail that are retried"
_LENGTH: Final = Command("HSTRLEN", "", ("failedReason",), cost=_COST, microseconds=2.5)
_REASON: Final = Command(
    "HMGET", "", ("failedReason", "atm", "attemptsMade"), list, _COST, microseconds=2.6
)
"""Both are sent with the key of a job. Versions up to 4 write attemptsMade."""
_MAX_BYTES: Final = 10_000
"""A longer reason is not read: an application may write a whole request into it."""


class RetryReasons(LookingSubject):
    """Reads the reason of the last failure of the jobs that were retried most recently.

    A job may be retried more often than it is looked at, so this is a sample. A job that moves
    itself to delayed has no reason, or keeps an old one; it is not counted again for the same
    number of attempts.
    """

    commands = (_LENGTH, _REASON)
    columns = (RETRY_REASONS,)
    kind = RETRIES

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        size = len(queues)
        self._read = PerRow[int](size, initial=0)
        """`EventSuspects.retries` at the last look."""
        self._attempts = PerRow[Mapping[bytes, Reply]](size, initial={})
        """The jobs of the last look, with the attempts that they had."""
        self._reasons = PerRow[Failures | None](size, initial=None)
        self._jobs: list[tuple[int, bytes]] = []
        """The row and the ID of the jobs to read."""

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        self._jobs = []
        known, due = poll.times.suspects, {}
        for row in self.due(poll) if known else ():
            events = known.get(self.queues[row])
            if events is not None and events.retries != self._read[row]:
                due[row] = events
        cost = (_LENGTH.microseconds + _REASON.microseconds) * MAX_NEW
        rows = self.affordable(poll, list(due), cost)
        jobs = []
        for row in rows:
            self._read[row] = due[row].retries
            jobs += [(row, job) for job in due[row].retried_jobs[-MAX_NEW:]]

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            self._jobs = [
                job
                for job, length in zip(jobs, replies, strict=True)
                if length is not None and 0 < length <= _MAX_BYTES
            ]

        packed = b"".join([_LENGTH.on(self.queues[row].key + job) for row, job in jobs])
        rows = [row for row, _ in jobs]
        return [look_question(poll, rows, packed, [1] * len(rows), (_LENGTH,), take)]

    def ask_again(self, poll: BatchPoll) -> Iterable[Question]:
        jobs = self._jobs

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, 3)
            seen: dict[int, dict[bytes, Reply]] = {}
            for (row, job), fields in zip(jobs, replies, strict=True):
                if fields is not None:
                    seen.setdefault(row, {})[job] = fields
            for row, found in seen.items():
                self._count(poll, row, found)

        packed = b"".join([_REASON.on(self.queues[row].key + job) for row, job in jobs])
        rows = [row for row, _ in jobs]
        return [look_question(poll, rows, packed, [1] * len(rows), (_REASON,), take)]

    def _count(self, poll: BatchPoll, row: int, found: Mapping[bytes, Reply]) -> None:
        before = self._attempts[row]
        self._attempts[row] = {job: fields[1:] for job, fields in found.items()}
        events = poll.times.suspects.get(self.queues[row])
        if events is None or events.retry_reasons is None:
            return
        for job, (reason, *attempts) in found.items():
            if reason and before.get(job) != attempts:
                events.retry_reasons.add(reason, job, int(poll.now_ms))
        self._reasons[row] = events.retry_reasons.frozen() or None

    def fill(self, _: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        return {RETRY_REASONS: list(self._reasons)}
