"""Waiting in tests: for the thing itself, never for a number of seconds.

A machine that is busy with other things may take ten times as long as a quiet one, so a wait has
one generous limit that no healthy run comes near. It only decides how long a broken test takes to
fail.
"""

from __future__ import annotations

from collections.abc import Callable

# bound here: a test may have stopped the clock of everybody else
from time import monotonic, sleep
from typing import Any

LIMIT_SECONDS = 120.0
"""After which a wait is given up. Timeouts of subprocesses and sockets in tests use it too."""

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.1


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """The condition's first true value; an `AssertionError` that names `what` if none comes."""
    deadline, pause = monotonic() + LIMIT_SECONDS, _FIRST_PAUSE_SECONDS
    while not (value := condition()):
        if monotonic() > deadline:
            raise AssertionError(f"still not after {LIMIT_SECONDS:.0f} s: {what or condition}")
        sleep(pause)
        # to ask costs CPU, which what is waited for may need
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)
    return value
