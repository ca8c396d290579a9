"""What a client is, to one server or to a cluster of them."""

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
"""bytes, int, None, a list of replies, or a `ReplyError` inside a batch."""


def pack(*arguments: Argument) -> bytes:
    """A command as bytes for the wire."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type] # its stub is wrong
    return packed


@dataclass(frozen=True, slots=True)
class Replies:
    """The replies to a batch in order; `failed` says where a `ReplyError` stands among them."""

    replies: list[Reply]
    failed: tuple[int, ...] = ()
    size: int = 0
    """Bytes that the replies took on the wire."""


class Client(ABC):
    """A way to one Redis, for one thread."""

    def __init__(self, settings: Connection, name: str) -> None:
        self.settings = settings
        self.name = name
        """What the connection is called in CLIENT LIST."""
        self.failure: RedisFailure | None = None
        """What closed the connection, while it is closed by a failure."""
        self.metadata: Metadata | None = None
        """Whom the connection reaches, or reached last."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether there is a socket; it may turn out to be dead."""

    @property
    @abstractmethod
    def nodes(self) -> Sequence[Client]:
        """The servers behind it, each with keys of its own: itself, or a cluster's masters."""

    @abstractmethod
    def connect(self) -> Metadata:
        """Open the connection and learn whom it reaches. Raises `RedisFailure`."""

    @abstractmethod
    def confirm(self) -> None:
        """See whether the connection still leads where it should. Raises `RedisFailure` if not."""

    @abstractmethod
    def batch(self, packed: bytes, count: int) -> Replies:
        """Send packed commands at once and read their `count` replies.

        Raises `RedisFailure` for a fault of the connection, which is closed then; an error reply to
        one command stands in its place.
        """

    @abstractmethod
    def ping(self) -> float:
        """Seconds of one PING round trip, of a refused one too. Raises `RedisFailure`."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; closing twice is fine."""

    @abstractmethod
    def abort(self) -> None:
        """From another thread: make the call in progress fail now."""

    def one(self, packed: bytes) -> Reply:
        """The reply to one packed command. Raises `RedisFailure`; `ReplyError` for an error."""
        reply = self.batch(packed, 1).replies[0]
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def learn(self, info: Info) -> None:
        """Bring `metadata` up to date with INFO."""
        if self.metadata is not None:
            self.metadata = self.metadata.with_info(info)
