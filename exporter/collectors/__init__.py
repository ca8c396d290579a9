"""The collectors, listed: a new subject is a new file and a new line here."""

from __future__ import annotations

from exporter.collectors.contract import Collector, Context, Faults, Scope
from exporter.collectors.discovery import Discovery
from exporter.collectors.events import EventsCollector
from exporter.collectors.queues import QueueCollector
from exporter.collectors.server import ServerCollector
from exporter.collectors.sync import SYNC_COMMANDS, SyncTest
from exporter.collectors.workers import WorkersCollector
from exporter.config import Config


def collectors_for(config: Config) -> tuple[Collector, ...]:
    """Fresh collectors for one connection, in the order in which they run at a poll."""
    interval = config.poll.interval_seconds
    events = (EventsCollector(config.events, interval),) if config.events.enabled else ()
    return (ServerCollector(), QueueCollector(interval), WorkersCollector(), *events)


__all__ = [
    "SYNC_COMMANDS",
    "Collector",
    "Context",
    "Discovery",
    "EventsCollector",
    "Faults",
    "QueueCollector",
    "Scope",
    "ServerCollector",
    "SyncTest",
    "WorkersCollector",
    "collectors_for",
]
