"""The queue's event stream: its length and memory, and whether anything happened in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import ne, not_
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, question
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply
from exporter.state.event_times import JobTimes
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

    Other subjects learn here in which queues nothing has happened. That is looked at again only
    where the events collector has read events, or the length of the stream is another one.
    """

    counts = (EVENTS_KEPT,)
    commands = (_MEMORY,)
    columns = (EVENTS_STREAM_BYTES,)

    def __init__(self, queues: Sequence[Queue], settings: Settings) -> None:
        super().__init__(queues)
        self._settings = settings
        self._ask_memory = RowCommands(queues, _MEMORY)
        self._bytes = PerRow[int | None](len(queues), initial=None)
        self._marks_read = PerRow[EventsMark | None](len(queues), initial=None)
        """The marks when the memory was read."""
        self._keys = [queue.key for queue in queues]
        self._by_queue: Mapping[Queue, JobTimes] | None = None
        self._passes = 0
        """Those of `EventTimes` of which the changes are known here."""
        self._lengths: Sequence[Reply] = ()
        """The lengths of the streams at the last poll."""
        self.changed: Iterable[int] = ()
        """Rows whose marks or `events_read` may not be those of the last completed poll; all such
        rows, and some others."""
        self._marks_before = PerRow[EventsMark | None](len(queues), initial=None)
        """The marks of the last completed poll."""
        self.times: Sequence[JobTimes | None] = ()
        """What the events of each row have shown; None if its events are not read."""
        self.events_read: list[int] = []
        """The number of events read of each row; -1 if its events are not read."""
        self.marks: list[EventsMark | None] = []
        """The mark of each row; None if there is no proof: the queue keeps no events, or they are
        not read.

        It consists of the stream's length and the number of events read. The length is newer, but
        is the same again if as many events were trimmed as added; then the number changes after
        this poll."""
        self.quiet: list[bool] = []
        """Whether it is proven of each row that nothing has happened to any job since the last
        completed poll: then a job with the same ID is the same one."""

    def happened_since(self, row: int, mark: EventsMark | None) -> bool:
        """Whether anything may have happened to a job of the row since it had that mark."""
        now = self.marks[row]
        return now is None or now != mark

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self._compare(poll)

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            for row, size in zip(asked, replies, strict=True):
                self._bytes[row], self._marks_read[row] = size, self.marks[row]

        kept = poll.counts[EVENTS_KEPT]
        if not all(kept):
            for row in poll.where(map(not_, kept)):
                self._bytes[row] = None
        due = [row for row in self._settings.due if kept[row] and self._may_differ(row)]
        return [question(due, self._ask_memory, take)]

    def _may_differ(self, row: int) -> bool:
        return self._bytes[row] is None or self.happened_since(row, self._marks_read[row])

    def _compare(self, poll: BatchPoll) -> None:
        """Find the rows in which nothing has happened."""
        known, lengths = poll.times, poll.counts[EVENTS_KEPT]
        if (
            known.by_queue is not self._by_queue
            or known.changed is None
            or known.passes > self._passes + 1
        ):
            size = len(self.queues)
            self.times = list(map(known.by_queue.get, self.queues))
            self.events_read, self.marks, self.quiet = [-1] * size, [None] * size, [False] * size
            self.changed = poll.rows
        else:
            # those of an aborted poll, and those that were not quiet
            changed = set(self.changed)
            if known.passes != self._passes and known.changed:
                changed.update(compress(poll.rows, map(known.changed.__contains__, self._keys)))
            if lengths != self._lengths:
                changed.update(compress(poll.rows, map(ne, lengths, self._lengths)))
            self.changed = changed
        self._by_queue, self._passes, self._lengths = known.by_queue, known.passes, lengths
        for row in self.changed:
            events, length = self.times[row], lengths[row]
            if events is not None:
                read = self.events_read[row] = events.events_read
                mark = None if length is None or not events.all_seen else (length, read)
                self.marks[row] = mark
                self.quiet[row] = mark is not None and mark == self._marks_before[row]

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        for row in self.changed:
            self._marks_before[row] = self.marks[row]
        self.changed = [
            row for row in self.changed if not self.quiet[row] and self.times[row] is not None
        ]
        return {EVENTS_STREAM_BYTES: list(self._bytes)}
