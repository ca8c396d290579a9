"""The list of collectors. Add a new collector here."""

from __future__ import annotations

from typing import Final

from exporter.collectors import discovery, events, queues, sync
from exporter.collectors.contract import Collector, CommandErrors, Context, Scope
from exporter.collectors.discovery import Discovery
from exporter.collectors.events import EventsCollector
from exporter.collectors.queues import QueueCollector
from exporter.collectors.server import ServerCollector
from exporter.collectors.sync import SyncTest
from exporter.collectors.workers import CLIENT_LIST, WorkersCollector
from exporter.config.models import Config
from exporter.connection import CONNECTION_COMMANDS, Command

READING_COMMANDS: Final[tuple[Command, ...]] = (
    *CONNECTION_COMMANDS,
    *discovery.COMMANDS,
    *queues.COMMANDS,
    CLIENT_LIST,
    *events.COMMANDS,
)
"""Every command that is sent, except AUTH, SELECT and those of the sync test."""

SYNC_COMMANDS: Final[tuple[Command, ...]] = sync.COMMANDS
"""Commands that only the sync test sends."""


def collectors_for(config: Config) -> tuple[Collector, ...]:
    """New collectors for one connection, in the order in which they run at a poll."""
    interval, share = config.poll.interval_seconds, config.queues.stuck_jobs_redis_share
    queues = (ServerCollector(), QueueCollector(interval, share), WorkersCollector())
    if not config.events.enabled:
        return queues
    stale_after = config.poll.stale_after_seconds
    return (*queues, EventsCollector(config.events, interval, config.slos_of, stale_after))


__all__ = [
    "READING_COMMANDS",
    "SYNC_COMMANDS",
    "Collector",
    "CommandErrors",
    "Context",
    "Discovery",
    "EventsCollector",
    "QueueCollector",
    "Scope",
    "ServerCollector",
    "SyncTest",
    "WorkersCollector",
    "collectors_for",
]
