"""The terminal in full-screen mode: single keys, signals, and the way back however it ends."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.live import Live

from exporter.top.keys import Key, KeyReader

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ESCAPE_SECONDS: Final = 0.1
"""Within this time, the rest of a key's sequence follows an Escape."""
_READ_BYTES: Final = 4096
_LFLAG: Final = 3
"""The place of the local modes in what `tcgetattr` returns."""


class Terminal:
    """A terminal that is in full-screen mode while the context of `opened` is active."""

    def __init__(self, console: Console, live: Live, wake: int, signals: int) -> None:
        self.console = console
        self._live = live
        self._wake = wake
        self._signals = signals
        self._input = sys.stdin.fileno()
        self._normal = termios.tcgetattr(self._input)
        self._keys = KeyReader()

    def measure(self) -> None:
        """Take over the present size, which COLUMNS and LINES do not know."""
        self.console.size = ConsoleDimensions(*os.get_terminal_size(sys.stdout.fileno()))

    def draw(self, screen: RenderableType) -> None:
        """Show this."""
        self._live.update(screen, refresh=True)

    def wake(self) -> None:
        """End the present or the next `keys` early. Thread-safe."""
        with suppress(BlockingIOError):  # it is full of wake-ups
            os.write(self._wake, b"\0")

    def keys(self, seconds: float) -> list[Key | str]:
        """Wait for keys, a new size or `wake`, at most this long. A signal to stop is Ctrl-C."""
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            if self._keys.is_waiting:
                left = _ESCAPE_SECONDS
            ready, _, _ = select.select([self._input, self._signals], [], [], left)
            if self._signals in ready:
                numbers = os.read(self._signals, _READ_BYTES)
                return [Key.CTRL_C] if set(numbers) & set(_ENDING) else []
            if self._input in ready:
                data = os.read(self._input, _READ_BYTES)
                if not data:  # it was closed
                    return [Key.CTRL_C]
                keys = self._keys.read(data)
            else:
                keys = self._keys.read(b"")
            if keys or not self._keys.is_waiting:
                return keys

    def suspend(self) -> None:
        """Give the terminal back to the shell, and stop until the shell resumes this process."""
        self.leave()
        signal.raise_signal(signal.SIGTSTP)
        self.enter()

    def enter(self) -> None:
        """Switch to full-screen mode."""
        # no ISIG: Ctrl-C and Ctrl-Z are keys, so that they do not come in the middle of drawing
        mode = termios.tcgetattr(self._input)
        mode[_LFLAG] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        termios.tcsetattr(self._input, termios.TCSAFLUSH, mode)
        self._live.start()

    def leave(self) -> None:
        """Restore the terminal as it was."""
        try:
            self._live.stop()
        finally:
            termios.tcsetattr(self._input, termios.TCSAFLUSH, self._normal)


@contextmanager
def opened() -> Iterator[Terminal]:
    """The terminal, until the context ends."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # a terminal is a real file
    console = Console(markup=False, emoji=False, highlight=False)
    live = Live(
        console=console,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    signals, wake = os.pipe()
    for end in (signals, wake):
        os.set_blocking(end, False)
    try:
        terminal = Terminal(console, live, wake, signals)
        with _signals_to(wake):
            try:
                terminal.enter()
                yield terminal
            finally:
                terminal.leave()
    finally:
        os.close(signals)
        os.close(wake)


@contextmanager
def _signals_to(wake: int) -> Iterator[None]:
    """Write the numbers of signals that stop the program, or report a new size, to the pipe."""
    numbers = (*_ENDING, signal.SIGWINCH)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    before_fd = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
