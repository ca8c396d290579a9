"""Parts of the demo that end in reverse order, whichever signal comes and whenever."""

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
    """What has started.

    A signal that comes while a part starts is obeyed when the part is there: in between, what it
    has started would be nobody's and stay behind.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._asked_to_stop = False
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def start(self, part: AbstractContextManager[Entered]) -> Entered:
        """Start a part. Raises `KeyboardInterrupt` if a signal has come."""
        try:
            return self._stack.enter_context(part)
        finally:
            # Ctrl-C also reaches a server that is starting: its failure is no news then
            self._obey()

    def all_there(self) -> None:
        """From now on a signal raises `KeyboardInterrupt` at once."""
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler)
        self._obey()

    def _note(self, _: int, __: FrameType | None) -> None:
        self._asked_to_stop = True

    def _obey(self) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt


@contextlib.contextmanager
def parts_in_order() -> Iterator[Parts]:
    """For parts to start in; a second signal does not interrupt their end."""
    with contextlib.ExitStack() as stack:
        try:
            yield Parts(stack)
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
