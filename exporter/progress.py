"""A progress line on standard error while a command waits; erased at the end."""

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
    """Shows `… watching the queues, 3 s`, updated every second, for the first time after one.

    Shows nothing if standard error is not a terminal that can erase a line. Log lines replace the
    progress line until its next update; other output in the meantime must be inside `quiet`.
    """

    def __init__(self, text: str, stream: TextIO | None = None, every: float = 1.0) -> None:
        self._text = text
        self._stream = stream or sys.stderr
        self._every = every
        self._enabled = self._stream.isatty() and os.environ.get("TERM", "") != "dumb"
        self._started = time.monotonic()
        self._shown = False
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._update, name="progress", daemon=True)
        self._handlers: list[logging.Handler] = []

    def __enter__(self) -> Self:
        if self._enabled:
            self._thread.start()
            self._handlers = logging.getLogger().handlers[:]
            for handler in self._handlers:
                handler.addFilter(self._erase_before_log)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for handler in self._handlers:
            handler.removeFilter(self._erase_before_log)
        if self._enabled:
            self._thread.join()
            self._erase()

    def set_text(self, text: str) -> None:
        """Change the text."""
        self._text = text

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep the line erased while the context is active."""
        with self._lock:
            self._erase()
            yield

    def _update(self) -> None:
        while not self._stopped.wait(self._every):
            with self._lock:
                seconds = time.monotonic() - self._started
                self._stream.write(f"{_ERASE}… {self._text}, {seconds:.0f} s")
                self._stream.flush()
                self._shown = True

    def _erase(self) -> None:
        with self._lock:
            if self._shown:
                self._stream.write(_ERASE)
                self._stream.flush()
                self._shown = False

    def _erase_before_log(self, _: logging.LogRecord) -> bool:
        self._erase()
        return True
