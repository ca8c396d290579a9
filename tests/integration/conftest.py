"""Time in tests that compare ages."""

from __future__ import annotations

import time

import pytest

from exporter.collectors import Context
from tests.support.stopped_clock import StoppedClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    """Time stands still, for the exporter also that of its Redis, and moves as the test says."""
    monkeypatch.setattr(Context, "server_time_ms", lambda _: time.time() * 1000)
    return StoppedClock(monkeypatch)
