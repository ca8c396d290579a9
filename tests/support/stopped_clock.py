"""A clock for code in the test's own process, which moves only when the test says so."""

from __future__ import annotations

import time

import pytest


class StoppedClock:
    """Both `time.monotonic` and `time.time`; waits of threads and of sockets go on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._monotonic, self._time = time.monotonic(), time.time()
        patch.setattr(time, "monotonic", lambda: self._monotonic)
        patch.setattr(time, "time", lambda: self._time)

    def move(self, seconds: float) -> None:
        """Let this much time pass."""
        self._monotonic += seconds
        self._time += seconds
