"""The interface of a collector: it reads one subject from Redis and returns facts."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from exporter.bullmq import Queue
from exporter.connection import (
    ONE_NODE,
    TIME,
    Client,
    ErrorClass,
    NodeError,
    ReplyError,
    is_string_list,
    unexpected,
)
from exporter.parsing import is_digits
from exporter.state.event_times import EventTimes
from exporter.state.oldest_jobs import OldestJobs
from exporter.state.unfinished_jobs import UnfinishedJobs


class Scope(Enum):
    """Where a collector runs."""

    CONNECTION = "connection"
    """It runs on every connection."""
    DATABASE = "database"
    """It runs once per keyspace, on the connection that owns it."""


_MAX_MESSAGES: Final = 100
"""Distinct messages of one run; more would flood the log."""


class CommandErrors:
    """What went wrong in a run that succeeds otherwise: errors of commands, oversized values."""

    def __init__(self, *, one_server: bool = False) -> None:
        self._one_server = one_server
        """Whether the client reads one server: then all errors of a cluster have one cause."""
        self.classes: Counter[ErrorClass] = Counter()
        self.messages: dict[str, ErrorClass] = {}
        self.not_available: set[str] = set()
        self.failed_nodes: dict[str, ErrorClass] = {}
        """Failures of cluster nodes, without duplicates."""
        self.oversized: Counter[str] = Counter()
        """Values above a size limit, counted by what was done with them."""

    def add_oversized(self, outcome: str, count: int = 1) -> None:
        """Count values above a size limit; `outcome` says for the log what was done with them."""
        if count:
            self.oversized[outcome] += count

    def add(self, error: ReplyError, where: str) -> None:
        """Add the error of one command; `where` names the command and its key."""
        if isinstance(error, NodeError):
            self.failed_nodes[error.text] = error.kind
            return
        if error.not_available:
            if len(self.not_available) < _MAX_MESSAGES:
                self.not_available.add(error.refused)
            return
        self.classes[error.kind] += 1
        if self._one_server and error.of_cluster:
            self.messages[ONE_NODE] = error.kind
        elif len(self.messages) < _MAX_MESSAGES:
            self.messages[f"{where}: {error.text}"] = error.kind


@dataclass(frozen=True, slots=True)
class Context:
    """What a collector uses during one run."""

    client: Client
    now: float
    """Monotonic time."""
    queues: tuple[Queue, ...] = ()
    """The queues to read; the same object as at the last run if the queues are the same."""
    errors: CommandErrors = field(default_factory=CommandErrors)
    all_queues: bool = True
    """Whether `queues` are all that were found; not during the first pass of discovery."""
    event_times: EventTimes = field(default_factory=EventTimes)
    """The same object for all collectors of a connection, also at the next run."""
    unfinished: UnfinishedJobs = field(default_factory=UnfinishedJobs)
    """Likewise."""
    oldest: OldestJobs = field(default_factory=OldestJobs)
    """Likewise."""
    reading_since: float = 0.0
    """Monotonic time since when no other connection has read the keyspace. If it changes, another
    one has read and counted in between: what was remembered for the next run is void."""

    def server_time_ms(self) -> float:
        """Unix ms by the server's clock, which times scores and IDs; by ours if TIME is refused.

        Raises `RedisFailure`.
        """
        reply = self.client.batch(TIME.on(), 1, TIME.limit).replies[0]
        if isinstance(reply, ReplyError):
            self.errors.add(reply, "TIME")
            return time.time() * 1000
        if not (is_string_list(reply) and len(reply) == 2 and all(map(is_digits, reply))):
            raise unexpected("TIME")
        return int(reply[0]) * 1000 + int(reply[1]) / 1000


class Collector(Protocol):
    """Reads one subject. A collector belongs to one connection and may keep state between runs."""

    name: str
    scope: Scope

    def collect(self, context: Context) -> object:
        """Read the subject and return its facts, a frozen class of `exporter.state.snapshots`.

        Raises `RedisFailure` if the subject could not be read; a `ReplyError` with `not_available`
        if this server does not support it or the user is not permitted. Errors that do not affect
        the rest are added to `context.errors`.
        """
        ...
