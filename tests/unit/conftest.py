"""In unit tests, time stands still: nothing is late because the machine is slow."""

from __future__ import annotations

import pytest

from tests.support.stopped_clock import StoppedClock


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    """The time of the test."""
    return StoppedClock(monkeypatch)
