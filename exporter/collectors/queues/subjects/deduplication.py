"""Deduplication keys that outlived their job: adds with that ID are ignored for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.queues.looks import look_question
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, check_fields
from exporter.collectors.queues.suspects import EventStuckSubject, unix_seconds
from exporter.connection import Command, Reply
from exporter.parsing import id_text
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckJob, StuckJobs, StuckKind

LEFT_DEDUPLICATIONS: Final = Column[StuckJobs]("left_deduplication_examples", internal=True)
LEFT_DEDUPLICATION_KEYS: Final = Column[int]("left_deduplications")
"""None until the first one of the queue is found."""

_COST: Final = "deduplication keys that outlived their job"
_HOLDER: Final = Command("GET", "", (), bytes, _COST, microseconds=1.2)
_EXPIRY: Final = Command("PTTL", "", cost=_COST, microseconds=0.8)
"""Both are sent with the deduplication key."""
_JOB: Final = Command("HMGET", "", ("timestamp", "finishedOn"), list, _COST, microseconds=2.2)

_NEVER: Final = -1
"""What PTTL returns for a key without expiry."""
_NO_KEY: Final = -2
"""What it returns for a key that does not exist."""


class LeftDeduplications(EventStuckSubject):
    """BullMQ deletes `de:<deduplication ID>` when its job finishes or is removed; with a `ttl`, the
    key expires. If the job's hash was deleted in another way, the key stays, and each add with that
    ID returns the ID of a job that is gone.

    No list of these keys exists, so only IDs are looked at that made an add be ignored while the
    exporter was reading the events.
    """

    commands = (_HOLDER, _EXPIRY, _JOB)
    columns = (LEFT_DEDUPLICATIONS, LEFT_DEDUPLICATION_KEYS)
    kind = StuckKind.DEDUPLICATION
    examples, number = columns

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        self._looked: dict[int, list[bytes]] = {}
        """The IDs of this poll's look, by row."""
        self._released: dict[int, set[bytes]] = {}
        """Those that no job holds for ever."""
        self._holders: dict[int, dict[bytes, bytes]] = {}
        """The jobs that hold one of these IDs without expiry, by row and ID."""

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self._released, self._holders = {}, {}
        self._looked = self.candidates(
            poll,
            lambda events: events.held_deduplications,
            sum(command.microseconds for command in self.commands),
        )

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            rest = iter(replies)
            for row in rows:
                held, released = self._holders.setdefault(row, {}), set[bytes]()
                for name in self._looked[row]:
                    holder, expiry = next(rest), next(rest)
                    if expiry is None or (holder is None and expiry != _NO_KEY):
                        self.look_again(row)
                    elif holder and expiry == _NEVER:
                        held[name] = holder
                    else:
                        released.add(name)
                self._released[row] = released

        rows = list(self._looked)
        keys = [self.queues[row].key + b"de:" + name for row in rows for name in self._looked[row]]
        packed = b"".join([_HOLDER.on(key) + _EXPIRY.on(key) for key in keys])
        widths = [2 * len(self._looked[row]) for row in rows]
        return [look_question(poll, rows, packed, widths, (_HOLDER, _EXPIRY), take)]

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        rows = list(self._holders)

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, 2)
            rest = iter(replies)
            for row in rows:
                jobs = {name: next(rest) for name in self._holders[row]}
                self._judge(poll, row, jobs)

        jobs = [self.queues[row].key + job for row in rows for job in self._holders[row].values()]
        packed = b"".join([_JOB.on(job) for job in jobs])
        widths = [len(self._holders[row]) for row in rows]
        return [look_question(poll, rows, packed, widths, (_JOB,), take)]

    def _judge(self, poll: BatchPoll, row: int, jobs: Mapping[bytes, Reply]) -> None:
        """Note which IDs are held by jobs that will not release them; a job is None if unknown."""
        found = {}
        cleared = self._released[row]
        for name, fields in jobs.items():
            if fields is None:
                self.look_again(row)
                continue
            created, finished = fields
            if created is None or finished is not None:
                state = "gone" if created is None else "finished"
                holder = id_text(self._holders[row][name])
                proof = f"its key has no expiry, and its job {holder} is {state}"
                since = unix_seconds(finished)
                found[name] = StuckJob(StuckKind.DEDUPLICATION, id_text(name), since, proof)
            else:
                cleared.add(name)
        self.note_look(poll, row, found, cleared)
