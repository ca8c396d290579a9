"""What a subject is: one thing that is known of every queue, with all that it takes to know it."""

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
    """A number that is read of every queue at every poll, in the first round trip."""

    command: Command
    """Its reply is a whole number."""
    ready: bool
    """Whether it counts jobs that a worker could take now."""
    proves_existence: bool
    """Whether a number over 0 shows that the queue exists, so that nothing else has to be asked."""
    column: Column[int] | None = None
    """Filled with the replies as they are; None where the subject computes something from them."""


class Subject:
    """One thing that is known of each queue of a batch.

    A subject declares what it reads and fills, remembers what it needs in `PerRow` and `ReplyCache`
    attributes, and takes part in the phases of a poll in this order: the engine reads the counts of
    all subjects, asks all questions of `ask` in one round trip, all of `ask_jobs` in another, then
    calls `fill`. Subjects that use what another one found get it in their constructor.
    """

    counts: ClassVar[tuple[Count, ...]] = ()
    commands: ClassVar[tuple[Command, ...]] = ()
    """What it sends beside its counts."""
    columns: ClassVar[tuple[Column[Any], ...]] = ()
    """What `fill` returns, without the columns that counts fill."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self.queues = queues

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        """What the counts leave open."""
        return ()

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        """What can be asked only now that jobs are known by id."""
        return ()

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        """Its columns, one value for each row."""
        return {}
