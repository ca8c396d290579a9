"""The connections of one round: for each, a socket that writes and another that reads."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.config.models import Connection
from exporter.connection import Client, Metadata, RedisFailure, open_client


@dataclass(slots=True)
class Endpoint:
    """One way to a Redis, for all the connection names that share it."""

    names: tuple[str, ...]
    writer: Client
    reader: Client
    metadata: Metadata | None = None
    failure: RedisFailure | None = None
    """Why it could not be reached, if it could not."""

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]

    def connect(self) -> None:
        """Open both sockets; a failure is kept, not raised."""
        try:
            self.metadata = self.writer.connect()
            self.reader.connect()
        except RedisFailure as failure:
            self.failure = failure
            self.close()

    def close(self) -> None:
        """Close both sockets."""
        self.writer.close()
        self.reader.close()

    def abort(self) -> None:
        """From another thread: make the calls in progress fail now."""
        self.writer.abort()
        self.reader.abort()


def sides_of(connections: dict[str, Connection]) -> list[Endpoint]:
    """A side for each different way to a Redis, in the order of the configuration."""
    names: dict[Connection, list[str]] = {}
    for name, settings in connections.items():
        names.setdefault(settings, []).append(name)
    return [
        Endpoint(
            tuple(shared),
            open_client(settings, f"{shared[0]}:sync-writer"),
            open_client(settings, f"{shared[0]}:sync-reader"),
        )
        for settings, shared in names.items()
    ]
