"""The queue's event stream: its length, and whether anything happened in it."""

from __future__ import annotations

from typing import Final

from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.subject import Count, Subject
from exporter.connection import Command
from exporter.state.queue_table import Column

EVENTS_STREAM_LENGTH: Final = Column[int]("events_stream_length")

EVENTS_KEPT: Final = Count(
    Command("XLEN", "events", cost="bullmq_queue_events_stream_length"),
    ready=False,
    proves_existence=True,
    column=EVENTS_STREAM_LENGTH,
)


class EventsStream(Subject):
    """Number of events in the stream. The events collector reads the events themselves."""

    counts = (EVENTS_KEPT,)


EventsMark = tuple[int, int]
"""Proves, while it is the same, that nothing has happened to any job of the queue."""


def events_mark(poll: BatchPoll, row: int) -> EventsMark | None:
    """The queue's mark; None if there is no proof: it keeps no events, or they are not read.

    It consists of the stream's length and the number of events read. The length is newer, but is
    the same again if as many events were trimmed as added; then the number changes after this poll.
    """
    events, length = poll.times.by_queue.get(poll.queues[row]), poll.counts[EVENTS_KEPT][row]
    if events is None or length is None or not events.all_seen:
        return None
    return length, events.events_read
