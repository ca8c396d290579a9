"""A client for the sync test that keeps what is set."""

from __future__ import annotations

from typing import Any

from exporter.config.models import Connection, Sync
from tests.support.fuzzing.answers import AnsweringClient

OPTIONS = Sync(timeout_seconds=0.002)


class StoringClient(AnsweringClient):
    """Keeps what is set, but for what the fuzzer answers."""

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
