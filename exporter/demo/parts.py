"""Starts the demo's parts and stops them in reverse order, whenever a signal arrives."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import FrameType
from typing import Final, TypeVar

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Entered = TypeVar("Entered")


class Parts:
    """The started parts.

    A signal that arrives while a part starts takes effect after the start. Otherwise the processes
    that the part has already started would be left behind.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._stop_requested = False
        for number in _SIGNALS:
            signal.signal(number, self._request_stop)

    def start(self, part: AbstractContextManager[Entered]) -> Entered:
        """Start a part. Raises `KeyboardInterrupt` if a signal has arrived."""
        try:
            return self._stack.enter_context(part)
        finally:
            # Ctrl-C also stops a server that is starting; the interrupt then replaces its error
            self._raise_if_stopped()

    def all_started(self) -> None:
        """Let signals raise `KeyboardInterrupt` at once from now on."""
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler)
        self._raise_if_stopped()

    def _request_stop(self, _: int, __: FrameType | None) -> None:
        self._stop_requested = True

    def _raise_if_stopped(self) -> None:
        if self._stop_requested:
            raise KeyboardInterrupt


@contextlib.contextmanager
def started_parts() -> Iterator[Parts]:
    """Run parts and stop them in reverse order; a second signal does not interrupt the stop."""
    with contextlib.ExitStack() as stack:
        try:
            yield Parts(stack)
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
