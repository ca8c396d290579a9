"""A clock for code in the test's process that moves only when the test moves it."""

from __future__ import annotations

import time

import pytest


class StoppedClock:
    """Replaces `time.monotonic` and `time.time`; waits of threads and sockets are unaffected.

    The monotonic time starts at the same value on every machine: otherwise it is the time since
    boot, and a sum that is exactly at a limit is below or above it by the rounding of that number.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._monotonic, self._time = 1_000_000.0, time.time()
        patch.setattr(time, "monotonic", lambda: self._monotonic)
        patch.setattr(time, "time", lambda: self._time)

    def move(self, seconds: float) -> None:
        """Let this much time pass."""
        self._monotonic += seconds
        self._time += seconds
