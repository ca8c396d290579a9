"""Waiting in tests: for a condition, never for a number of seconds.

A busy machine may take ten times as long as an idle one, so a wait has one generous limit, which no
healthy run comes close to. It only decides how long a broken test takes to fail.
"""

from __future__ import annotations

from collections.abc import Callable

# imported by name: a test may have replaced `time.monotonic`
from time import monotonic, sleep
from typing import Any

LIMIT_SECONDS = 120.0
"""Limit of a wait in seconds, also used as timeout of subprocesses and sockets in tests."""

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.25


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until the condition is true and return its value.

    Raises an `AssertionError` with `what` after the limit.
    """
    deadline, pause = monotonic() + LIMIT_SECONDS, _FIRST_PAUSE_SECONDS
    while not (value := condition()):
        if monotonic() > deadline:
            raise AssertionError(f"still not after {LIMIT_SECONDS:.0f} s: {what or condition}")
        sleep(pause)
        # evaluating the condition uses CPU that the awaited work may need
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)
    return value
