"""Event streams: true counters and durations, from what BullMQ itself writes; no job is read."""

from exporter.collectors.events.collector import EventsCollector

__all__ = ["EventsCollector"]
