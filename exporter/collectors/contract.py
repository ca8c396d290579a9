"""What a collector is: one subject that is read from Redis, commands out and facts in."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from exporter.bullmq import Queue
from exporter.connection import (
    TIME,
    Client,
    ErrorClass,
    NodeError,
    ReplyError,
    is_string_list,
    unexpected,
)
from exporter.parsing import is_digits


class Scope(Enum):
    """Where a collector runs."""

    CONNECTION = "connection"
    """On every connection."""
    DATABASE = "database"
    """Once for a keyspace, on the first connection that reaches it."""


class CommandErrors:
    """Commands that Redis answered with an error while the rest of a collector worked."""

    def __init__(self) -> None:
        self.classes: Counter[ErrorClass] = Counter()
        self.messages: dict[str, ErrorClass] = {}
        self.not_available: set[str] = set()
        self.failed_nodes: dict[str, ErrorClass] = {}
        """What happened to nodes of a cluster that could not be asked, each once."""

    def add(self, error: ReplyError, where: str) -> None:
        """Note the error of one command; `where` names the command and its key."""
        if isinstance(error, NodeError):
            self.failed_nodes[error.text] = error.kind
            return
        if error.not_available:
            self.not_available.add(error.refused)
            return
        self.classes[error.kind] += 1
        if len(self.messages) < 100:  # a log is read by people
            self.messages[f"{where}: {error.text}"] = error.kind


@dataclass(frozen=True, slots=True)
class Context:
    """What a collector may use during one run."""

    client: Client
    now: float
    """Monotonic time."""
    queues: tuple[Queue, ...] = ()
    """The queues to read; the same object as before if they are the same queues."""
    errors: CommandErrors = field(default_factory=CommandErrors)

    def server_time_ms(self) -> float:
        """The server's clock, which writes scores and ids; our own where TIME is refused.

        Raises `RedisFailure`.
        """
        reply = self.client.batch(TIME.on(), 1).replies[0]
        if isinstance(reply, ReplyError):
            self.errors.add(reply, "TIME")
            return time.time() * 1000
        if not (is_string_list(reply) and len(reply) == 2 and all(map(is_digits, reply))):
            raise unexpected("TIME")
        return int(reply[0]) * 1000 + int(reply[1]) / 1000


class Collector(Protocol):
    """One subject. A collector belongs to one connection and may remember things between runs."""

    name: str
    scope: Scope

    def collect(self, context: Context) -> object:
        """Read the subject and return its facts, a frozen class of `exporter.state.snapshots`.

        Raises `RedisFailure` where the subject could not be read: a `ReplyError` that is
        `not_available` where this server or user does not offer it. Errors that leave the rest
        intact are added to `context.errors`.
        """
        ...
