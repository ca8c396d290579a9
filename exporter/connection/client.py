"""The interface of clients: of one server, or of a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hiredis

from exporter.config.models import Connection
from exporter.connection.errors import RedisFailure, ReplyError
from exporter.connection.metadata import Info, Metadata

Argument = str | bytes | int | float
Reply = Any
"""bytes, int, None, a list of replies, or, in a batch, a `ReplyError`."""


def pack(*arguments: Argument) -> bytes:
    """A command in the wire protocol."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type] # its stub is wrong
    return packed


@dataclass(frozen=True, slots=True)
class Replies:
    """The replies to a batch, in order; `failed` are the indices of each `ReplyError`."""

    replies: list[Reply]
    failed: tuple[int, ...] = ()
    size: int = 0
    """Size of the replies on the wire, in bytes."""


class Client(ABC):
    """A connection to one Redis server or cluster. Not thread-safe, except for `abort`."""

    def __init__(self, settings: Connection, name: str) -> None:
        self.settings = settings
        self.name = name
        """The connection's name in CLIENT LIST."""
        self.failure: RedisFailure | None = None
        """Why the connection is closed; None while it is open or was closed on purpose."""
        self.ping_refusal: ReplyError | None = None
        """The error reply to the last PING, from a server that may answer other commands."""
        self.metadata: Metadata | None = None
        """The server that the connection reaches, or reached last."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether there is an open socket; the peer may be gone nevertheless."""

    @property
    @abstractmethod
    def nodes(self) -> Sequence[Client]:
        """A client for each server that holds keys: itself, or one for each master of a cluster."""

    @abstractmethod
    def connect(self) -> Metadata:
        """Open the connection and identify the server. Raises `RedisFailure`."""

    @abstractmethod
    def confirm(self) -> None:
        """Check that this is still the right server. Raises `RedisFailure` if not."""

    @abstractmethod
    def batch(self, packed: bytes, count: int, limit: int) -> Replies:
        """Send packed commands in one pipeline and read their `count` replies.

        `limit` is the sum of the commands' limits in bytes. Replies that exceed it are a
        `RedisFailure` of the class `protocol`.

        An error reply to one command is returned in its place. Raises `RedisFailure` if the
        connection failed, and closes it.
        """

    @abstractmethod
    def ping(self) -> float:
        """Seconds of a PING round trip, also if it is refused. Raises `RedisFailure`.

        An error reply proves that the server is there. It is kept in `ping_refusal`, unless PING is
        only not permitted. Redis answers PING with MISCONF while it refuses writes.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection, if it is open."""

    @abstractmethod
    def abort(self) -> None:
        """Make the call in progress fail now. Called from another thread."""

    def call(self, packed: bytes, limit: int) -> Reply:
        """The reply to one command. Raises `RedisFailure`, or `ReplyError` for an error reply."""
        reply = self.batch(packed, 1, limit).replies[0]
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def update_metadata(self, info: Info) -> None:
        """Update `metadata` from a reply to INFO."""
        if self.metadata is not None:
            self.metadata = self.metadata.with_info(info)
