"""Batches: queues that are read together, with one pipeline per round trip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects import COUNTS, subjects_for

# Redis serves other clients after every 16 kB of a pipeline, so a long one does not block them.
_BATCH_COMMANDS: Final = 4000
_BATCH_BYTES: Final = 1 << 19
_COMMAND_BYTES: Final = 40
"""Approximate size of a packed count without its key."""


class QueueBatch:
    """Some queues, with the state of each subject, indexed by row."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self.queues = queues
        self.subjects: Sequence[Subject] = subjects_for(queues)
        self.counts = b"".join([count.command.on(q.key) for q in queues for count in COUNTS])
        """The first round trip, packed once: every count of every queue."""

    def forget_replies(self) -> None:
        """Make every reply count as changed at the next poll."""
        for subject in self.subjects:
            for memory in vars(subject).values():
                if isinstance(memory, ReplyCache):
                    memory.forget()

    def inherit(self, sources: Iterable[tuple[QueueBatch, int] | None]) -> None:
        """Copy the state of other batches: for each row, its previous batch and row, if any."""
        rows = [(row, *source) for row, source in enumerate(sources) if source is not None]
        for place, subject in enumerate(self.subjects):
            for name, memory in vars(subject).items():
                if isinstance(memory, PerRow):
                    for row, previous, previous_row in rows:
                        memory[row] = getattr(previous.subjects[place], name)[previous_row]


def make_batches(queues: Sequence[Queue], previous: Sequence[QueueBatch] = ()) -> list[QueueBatch]:
    """Batches of these queues; queues of previous batches keep their state."""
    known = {queue: (batch, row) for batch in previous for row, queue in enumerate(batch.queues)}
    batches = []
    for group in _grouped(queues):
        batch = QueueBatch(group)
        batch.inherit(map(known.get, group))
        batches.append(batch)
    return batches


def _grouped(queues: Sequence[Queue]) -> Iterator[list[Queue]]:
    """Groups limited in commands and, because names may be long, in bytes."""
    group: list[Queue] = []
    size = 0
    for queue in queues:
        cost = len(COUNTS) * (len(queue.key) + _COMMAND_BYTES)
        full = (len(group) + 1) * len(COUNTS) > _BATCH_COMMANDS or size + cost > _BATCH_BYTES
        if group and full:
            yield group
            group, size = [], 0
        group.append(queue)
        size += cost
    if group:
        yield group
