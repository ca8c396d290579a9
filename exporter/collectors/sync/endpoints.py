"""The connections of one round: each has a socket that writes and one that reads."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.config.models import Connection
from exporter.connection import Client, Metadata, RedisFailure, open_client


@dataclass(slots=True, eq=False)
class Endpoint:
    """A distinct connection to Redis, with all connection names that share its settings."""

    names: tuple[str, ...]
    writer: Client
    reader: Client
    metadata: Metadata | None = None
    failure: RedisFailure | None = None
    """Why connecting failed, if it did."""

    @property
    def name(self) -> str:
        """The first of the names."""
        return self.names[0]

    def connect(self) -> None:
        """Open both sockets; a failure is stored in `failure`, not raised."""
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
        """Make the calls in progress fail now. Called from another thread."""
        self.writer.abort()
        self.reader.abort()


def endpoints_of(connections: dict[str, Connection]) -> list[Endpoint]:
    """An endpoint for each distinct connection, in the order of the configuration."""
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
