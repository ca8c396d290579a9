"""The process's clients: one for each way to a Redis."""

from __future__ import annotations

from exporter.config import Connection
from exporter.connection.client import Client


class Clients:
    """Hands out clients; asking twice for the same URL and options gives the same object."""

    def __init__(self) -> None:
        self._clients: dict[Connection, Client] = {}

    def get(self, settings: Connection, name: str) -> Client:
        """The client for these settings, made under the first name that asks."""
        client = self._clients.get(settings)
        if client is None:
            client = self._clients[settings] = Client(settings, name)
        return client

    def close(self) -> None:
        """Close every client and forget it."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
