"""Event streams: job counters and durations from the events BullMQ writes; no job data is read."""

from typing import Final

from exporter.collectors.events.audit import JOB_EXISTS
from exporter.collectors.events.collector import MAX_LEN, EventsCollector
from exporter.collectors.events.counts import COUNT_COMMANDS
from exporter.collectors.events.positions import XINFO
from exporter.collectors.events.streams import JOB_NAME, XREAD

COMMANDS: Final = (MAX_LEN, XINFO, XREAD, JOB_NAME, *COUNT_COMMANDS, JOB_EXISTS)

__all__ = ["COMMANDS", "EventsCollector"]
