"""The interface of a subject: one fact or group of facts about every queue, and how to read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from exporter.bullmq import Queue
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question
from exporter.connection import Command
from exporter.state.queue_table import Column


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """A number that is read for every queue at every poll, in the first round trip."""

    command: Command
    """The reply is an integer."""
    ready: bool
    """Whether it counts jobs that a worker could start now."""
    proves_existence: bool
    """Whether a number greater than 0 proves that the queue exists."""
    column: Column[int] | None = None
    """The column that contains the replies; None if the subject computes its columns from them."""


class Subject:
    """One fact or group of facts about each queue of a batch.

    A subject declares the commands it sends and the columns it fills, and keeps its state in
    `PerRow` and `ReplyCache` attributes. In each poll, the engine reads the counts of all subjects,
    sends all questions of `ask` in one round trip, all of `ask_jobs` in another and all of
    `ask_again`, if there are any, in a last one, then calls `fill`. A subject that needs the
    results of another one gets it in its constructor.
    """

    counts: ClassVar[tuple[Count, ...]] = ()
    commands: ClassVar[tuple[Command, ...]] = ()
    """The commands it sends besides its counts."""
    columns: ClassVar[tuple[Column[Any], ...]] = ()
    """The columns that `fill` returns; those filled by counts are not listed."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self.queues = queues

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        """The questions of the second round trip, given the counts."""
        return ()

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        """The questions of the third round trip: about jobs whose IDs are now known."""
        return ()

    def ask_again(self, poll: BatchPoll) -> Iterable[Question]:
        """The questions of the fourth round trip, if the third has shown that more has changed."""
        return ()

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        """The values of its columns, one for each row."""
        return {}
