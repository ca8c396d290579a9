"""The clients of the process, one for each distinct connection."""

from __future__ import annotations

from exporter.config.models import Connection
from exporter.connection.client import Client
from exporter.connection.node import NodeClient


def open_client(settings: Connection, name: str) -> Client:
    """A client for these settings, not connected yet."""
    shown = f"bullmq-exporter:{name}"
    if settings.cluster:
        from exporter.connection.cluster import ClusterClient  # imports redis-py: see `dial`

        return ClusterClient(settings, shown)
    return NodeClient(settings, shown)


class ClientRegistry:
    """Clients by settings: equal settings share one client."""

    def __init__(self) -> None:
        self._clients: dict[Connection, Client] = {}

    def get(self, settings: Connection, name: str) -> Client:
        """The client for these settings, created with the first name that asks."""
        client = self._clients.get(settings)
        if client is None:
            client = self._clients[settings] = open_client(settings, name)
        return client

    def forget(self, settings: Connection) -> None:
        """Forget the client of these settings; its owner closes it."""
        self._clients.pop(settings, None)

    def close(self) -> None:
        """Close every client and forget it."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
