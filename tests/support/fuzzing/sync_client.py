"""A fuzzed client that stores values, for the sync test."""

from __future__ import annotations

from typing import Any

from exporter.config.models import Connection, Sync
from tests.support.fuzzing.fuzzed_client import FuzzedClient

OPTIONS = Sync(timeout_seconds=0.002)


class StoringClient(FuzzedClient):
    """Stores values, except for commands with the fuzzer's replies."""

    wanted: set[str]
    given: list[Any]
    kept: dict[bytes, bytes]

    def __init__(self, _: Connection, name: str) -> None:
        super().__init__(self.wanted, self.given, name)

    def right(self, command: list[bytes]) -> Any:
        name, *words = command
        if name == b"SET":
            self.kept[words[0]] = words[1]
            return b"OK"
        if name == b"GET":
            return self.kept.get(words[0])
        if name == b"EXISTS":
            return sum(word in self.kept for word in words)
        if name == b"DEL":
            return sum(self.kept.pop(word, None) is not None for word in words)
        return super().right(command)
