"""Progress on standard error while a command waits; erased at the end."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    import rich.progress


class Progress:
    """Shows what is done and for how long, `⠋ watching the queues 0:00:03`, after a second.

    Shows nothing if standard error is not a terminal that can erase a line. Log lines replace the
    progress line until it is shown again; other output in the meantime must be inside `quiet`.
    """

    def __init__(self, text: str, stream: TextIO | None = None, after: float = 1.0) -> None:
        self._stream = stream or sys.stderr
        self._after = after
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._handlers: list[logging.Handler] = []
        self._line: rich.progress.Progress | None = None
        if self._stream.isatty() and os.environ.get("TERM", "") != "dumb":
            self._line = _line(self._stream, text)

    def __enter__(self) -> Self:
        if self._line is not None:
            self._handlers = logging.getLogger().handlers[:]
            for handler in self._handlers:
                handler.addFilter(self._erase_before_log)
            self._show_soon()
        return self

    def __exit__(self, *_: object) -> None:
        for handler in self._handlers:
            handler.removeFilter(self._erase_before_log)
        with self._lock:
            self._erase()
            self._line = None

    def set_text(self, text: str) -> None:
        """Change the text."""
        if self._line is not None:
            self._line.update(self._line.task_ids[0], description=text)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep the line erased while the context is active."""
        with self._lock:
            self._erase()
            yield
            self._show_soon()

    def _show_soon(self) -> None:
        if self._line is not None:
            self._timer = threading.Timer(self._after, self._show)
            self._timer.daemon = True
            self._timer.start()

    def _show(self) -> None:
        with self._lock:
            if self._line is not None and threading.current_thread() is self._timer:
                self._line.start()
                # a command that is killed must not leave the terminal without a cursor
                self._line.console.show_cursor(show=True)

    def _erase(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._line is not None:
                self._line.stop()

    def _erase_before_log(self, _: logging.LogRecord) -> bool:
        with self._lock:
            self._erase()
            self._show_soon()
        return True


def _line(stream: TextIO, text: str) -> rich.progress.Progress:
    # most runs show no line, and need not wait for these
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    line = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=Console(file=stream),
        transient=True,
        # what else is printed may be on another stream than this line
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=4,
    )
    line.add_task(text)
    return line
