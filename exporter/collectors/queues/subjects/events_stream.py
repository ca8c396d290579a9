"""The queue's event stream, as far as its length."""

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
    """Events kept in the stream; the events collector reads them."""

    counts = (EVENTS_KEPT,)
