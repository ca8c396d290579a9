"""Event streams: true counters and durations, from what BullMQ itself writes; no job is read."""

from typing import Final

from exporter.collectors.events.collector import MAX_LEN, EventsCollector
from exporter.collectors.events.positions import XINFO
from exporter.collectors.events.streams import JOB_NAME, XREAD

COMMANDS: Final = (MAX_LEN, XINFO, XREAD, JOB_NAME)

__all__ = ["COMMANDS", "EventsCollector"]
