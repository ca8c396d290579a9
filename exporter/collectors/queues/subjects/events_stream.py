"""The queue's event stream: its length and memory, and whether anything happened in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, question
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply
from exporter.state.queue_table import Column

EVENTS_STREAM_LENGTH: Final = Column[int]("events_stream_length")
EVENTS_STREAM_BYTES: Final = Column[int]("events_stream_bytes")
"""Memory of the stream, in bytes; None if it is empty, or if it is unknown."""

EVENTS_KEPT: Final = Count(
    Command("XLEN", "events", cost="bullmq_queue_events_stream_length"),
    ready=False,
    proves_existence=True,
    column=EVENTS_STREAM_LENGTH,
)

EventsMark = tuple[int, int]
"""Proves, while it is the same, that nothing has happened to any job of the queue."""

# an estimate from five samples, the default: about 1 us; an exact one could block Redis
_MEMORY: Final = Command("MEMORY USAGE", "events", cost="bullmq_queue_events_stream_bytes")


class EventsStream(Subject):
    """Number of events in the stream, and their memory. The events collector reads the events.

    Events contain return values and error messages, so the same number may take any memory.
    """

    counts = (EVENTS_KEPT,)
    commands = (_MEMORY,)
    columns = (EVENTS_STREAM_BYTES,)

    def __init__(self, queues: Sequence[Queue], settings: Settings) -> None:
        super().__init__(queues)
        self._settings = settings
        self._ask_memory = RowCommands(queues, _MEMORY)
        self._bytes = PerRow[int | None](len(queues), initial=None)
        self._marks: Sequence[EventsMark | None] | None = None
        """The marks of this poll; None until they are needed."""
        self._marks_before = PerRow[EventsMark | None](len(queues), initial=None)
        """Those of the last completed poll in which they were needed."""
        self._quiet: Sequence[bool] | None = None
        """What `quiet` returns in this poll; None until it is needed."""

    def marks(self, poll: BatchPoll) -> Sequence[EventsMark | None]:
        """The mark of each row; None if there is no proof: the queue keeps no events, or they are
        not read.

        It consists of the stream's length and the number of events read. The length is newer, but
        is the same again if as many events were trimmed as added; then the number changes after
        this poll.
        """
        if self._marks is None:
            lengths = poll.counts[EVENTS_KEPT]
            self._marks = [
                (length, read)
                if events is not None and length is not None and events.all_seen
                else None
                for events, read, length in zip(poll.events, poll.events_read, lengths, strict=True)
            ]
        return self._marks

    def quiet(self, poll: BatchPoll) -> Sequence[bool]:
        """Whether it is proven of each row that nothing has happened to any job since the last
        completed poll in which this was asked: then a job with the same ID is the same one."""
        if self._quiet is None:
            pairs = zip(self._marks_before, self.marks(poll), strict=True)
            self._quiet = [mark is not None and mark == before for before, mark in pairs]
        return self._quiet

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self._marks = self._quiet = None

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            for row, size in zip(asked, replies, strict=True):
                self._bytes[row] = size

        kept = poll.counts[EVENTS_KEPT]
        for row in poll.rows:
            if not kept[row]:
                self._bytes[row] = None
        due = [row for row in self._settings.due if kept[row]]
        return [question(due, self._ask_memory, take)]

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        if self._marks is not None:
            self._marks_before[:] = self._marks
        return {EVENTS_STREAM_BYTES: list(self._bytes)}
