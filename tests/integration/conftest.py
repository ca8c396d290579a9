"""A stopped clock for tests that compare ages."""

from __future__ import annotations

import time

import pytest

from exporter.collectors import Context
from tests.support.stopped_clock import StoppedClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    """A stopped clock, for the exporter also that of Redis; it moves only by `move`."""
    monkeypatch.setattr(Context, "server_time_ms", lambda _: time.time() * 1000)
    return StoppedClock(monkeypatch)
