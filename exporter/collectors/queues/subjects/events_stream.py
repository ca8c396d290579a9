"""The length of the queue's event stream."""

from __future__ import annotations

from typing import Final

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
