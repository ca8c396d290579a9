"""Unit tests run with a stopped clock, so that no result depends on the machine's speed."""

from __future__ import annotations

import pytest

from tests.support.stopped_clock import StoppedClock


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    """The clock of the test; it moves only by `move`."""
    return StoppedClock(monkeypatch)
