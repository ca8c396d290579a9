"""The sync test against a Redis that replies anything: every check has a result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import SyncTest
from exporter.collectors.sync import endpoints, keys, steps
from exporter.state.snapshots import SYNC_CHECKS
from exporter.web.sync_health import sync_health
from tests.support.factories import moment
from tests.support.fuzzing.fuzzed_client import SETTINGS, replies
from tests.support.fuzzing.profile import fuzz
from tests.support.fuzzing.sync_client import OPTIONS, StoringClient

victims = st.sets(
    st.sampled_from(["SET", "GET", "PTTL", "EXISTS", "DEL", "CLIENT", "INFO", "DBSIZE"]), max_size=3
)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Waits of milliseconds instead of seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints, "open_client", StoringClient)
        patch.setattr(keys, "SHORT_TTL_SECONDS", 0.001)
        patch.setattr(steps, "SHORT_TTL_SECONDS", 0.001)
        patch.setattr(steps, "_EXPIRY_TOLERANCE_SECONDS", 0.002)
        yield


@fuzz(1)
@given(victims, replies)
def test_rounds_with_any_replies(wanted: set[str], given_: list[Any]) -> None:
    StoringClient.wanted, StoringClient.given, StoringClient.kept = wanted, given_, {}
    report = SyncTest({"api": SETTINGS}, OPTIONS).run()
    (pair,) = report.pairs
    assert set(pair.checks) <= set(SYNC_CHECKS)
    assert pair.checks or pair.not_permitted
    answer, _ = sync_health(moment(sync=report, connections=["api"]))
    json.dumps(answer, allow_nan=False).encode()
