"""What goes on while somebody waits: a line on a terminal's standard error, gone at the end."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, TextIO

_ERASE = "\r\x1b[K"


class Progress:
    """`… watching the queues, 3 s`, renewed every second from the first on.

    Nothing is shown where standard error is not a terminal, or one that cannot erase a line. Lines
    of the log take its place as they come; whoever prints meanwhile does so within `quiet`.
    """

    def __init__(self, text: str, stream: TextIO | None = None, every: float = 1.0) -> None:
        self._text = text
        self._stream = stream or sys.stderr
        self._every = every
        self._able = self._stream.isatty() and os.environ.get("TERM", "") != "dumb"
        self._began = time.monotonic()
        self._shown = False
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="progress", daemon=True)
        self._handlers: list[logging.Handler] = []

    def __enter__(self) -> Self:
        if self._able:
            self._thread.start()
            self._handlers = logging.getLogger().handlers[:]
            for handler in self._handlers:
                handler.addFilter(self._before_a_line)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for handler in self._handlers:
            handler.removeFilter(self._before_a_line)
        if self._able:
            self._thread.join()
            self._erase()

    def says(self, text: str) -> None:
        """Another text from now on."""
        self._text = text

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """The line is gone, and does not come back until this is over."""
        with self._lock:
            self._erase()
            yield

    def _renew(self) -> None:
        while not self._over.wait(self._every):
            with self._lock:
                seconds = time.monotonic() - self._began
                self._stream.write(f"{_ERASE}… {self._text}, {seconds:.0f} s")
                self._stream.flush()
                self._shown = True

    def _erase(self) -> None:
        with self._lock:
            if self._shown:
                self._stream.write(_ERASE)
                self._stream.flush()
                self._shown = False

    def _before_a_line(self, _: logging.LogRecord) -> bool:
        self._erase()
        return True
