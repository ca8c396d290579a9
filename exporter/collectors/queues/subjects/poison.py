"""Jobs that stall or fail again and again, and are delivered again each time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.queues.looks import look_question
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, check_fields
from exporter.collectors.queues.suspects import EventStuckSubject, unix_seconds
from exporter.connection import Command, Reply
from exporter.parsing import id_text, is_digits
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckJob, StuckJobs, StuckKind

POISON: Final = Column[StuckJobs]("poison_examples", internal=True)
POISON_JOBS: Final = Column[int]("poison")
"""None until the first poison job of the queue is found."""

# versions up to 5.48 call `stc` stalledCounter; up to 4, attemptsMade counts starts, so it is not
# read: a job that moves itself to delayed starts often
_JOB: Final = Command(
    "HMGET",
    "",
    ("timestamp", "finishedOn", "stc", "stalledCounter", "ats", "atm"),
    list,
    "jobs that stall or fail again and again",
    microseconds=3.4,
)

_STALLS: Final = 2
"""A job that stalled this often is poison: probably, it ends the process of its worker."""
_ATTEMPTS: Final = 10
"""So is one with this many failed attempts, if it is retried once more."""


class PoisonJobs(EventStuckSubject):
    """The events name jobs that returned from active at least twice; their hashes count how often.

    A job that moves itself to delayed is started often, but has neither stalled nor failed.
    """

    commands = (_JOB,)
    columns = (POISON, POISON_JOBS)
    kind = StuckKind.POISON
    examples, number = columns

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        self._looked: dict[int, list[bytes]] = {}
        """The jobs of this poll's look, by row."""

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        self._looked = self.candidates(poll, lambda events: events.recurring, _JOB.microseconds)

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, 6)
            rest = iter(replies)
            for row in rows:
                self._judge(poll, row, [next(rest) for _ in self._looked[row]])

        rows = list(self._looked)
        keys = [self.queues[row].key + job for row in rows for job in self._looked[row]]
        packed = b"".join([_JOB.on(key) for key in keys])
        widths = [len(self._looked[row]) for row in rows]
        return [look_question(poll, rows, packed, widths, (_JOB,), take)]

    def _judge(self, poll: BatchPoll, row: int, replies: Sequence[Reply]) -> None:
        found, cleared = {}, set()
        for job, fields in zip(self._looked[row], replies, strict=True):
            if fields is None:
                self.look_again(row)
                continue
            created, finished, *counts = fields
            proof = None if created is None or finished is not None else _proof(counts)
            if proof is None:
                cleared.add(job)
            else:
                found[job] = StuckJob(StuckKind.POISON, id_text(job), unix_seconds(created), proof)
        self.note_look(poll, row, found, cleared)


def _proof(counts: Sequence[Reply]) -> str | None:
    """What the counters of a job prove; None if it is not poison."""
    short, long, starts, attempts = [int(each) if is_digits(each) else 0 for each in counts]
    stalls = max(short, long)
    if stalls >= _STALLS:
        started = f", in {starts} starts" if starts else ""
        return f"it stalled {stalls} times{started}"
    return f"it failed {attempts} times" if attempts >= _ATTEMPTS else None
