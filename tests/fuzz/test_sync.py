"""The sync test against a Redis that answers anything: every check has an outcome, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import SyncTest
from exporter.collectors.sync import endpoints, keys, steps
from exporter.config.models import Connection, Sync
from exporter.state.snapshots import SYNC_CHECKS
from exporter.web.sync_health import sync_health
from tests.fuzz.answers import SETTINGS, AnsweringClient, replies
from tests.fuzz.profile import fuzz
from tests.support.factories import moment

OPTIONS = Sync(timeout_seconds=0.002)
victims = st.sets(
    st.sampled_from(["SET", "GET", "PTTL", "EXISTS", "DEL", "CLIENT", "INFO", "DBSIZE"]), max_size=3
)


class Store(AnsweringClient):
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


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Waits of milliseconds where a real round has seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints, "open_client", Store)
        patch.setattr(keys, "SHORT_TTL_SECONDS", 0.001)
        patch.setattr(steps, "SHORT_TTL_SECONDS", 0.001)
        patch.setattr(steps, "_EXPIRY_TOLERANCE_SECONDS", 0.002)
        yield


@fuzz(1)
@given(victims, replies)
def test_rounds(wanted: set[str], given_: list[Any]) -> None:
    Store.wanted, Store.given, Store.kept = wanted, given_, {}
    report = SyncTest({"api": SETTINGS}, OPTIONS).run()
    (pair,) = report.pairs
    assert set(pair.checks) <= set(SYNC_CHECKS)
    assert pair.checks or pair.not_permitted
    answer, _ = sync_health(moment(sync=report, connections=["api"]))
    json.dumps(answer, allow_nan=False).encode()
