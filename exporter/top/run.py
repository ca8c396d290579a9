"""The loop of `top`: a thread looks, the main thread reads keys and draws."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.text import Text

from exporter.app import App
from exporter.config.models import Config
from exporter.state.store import SnapshotStore
from exporter.top.detail_screen import detail_screen
from exporter.top.findings_screen import findings_screen
from exporter.top.keys import Key
from exporter.top.parts import title
from exporter.top.rows import Look, look_at
from exporter.top.session import Session
from exporter.top.table_screen import table_screen
from exporter.top.terminal import Terminal, opened
from exporter.views.formatting import clock
from exporter.views.moment import moment_of
from exporter.views.recording import record_histories
from exporter.views.scaling import OutlookCache

_LOOK_SECONDS = 1.0
"""How often ages are computed again, if no poll ends."""
_REST = 4
"""How many times as long as it looked the thread rests, so that keys do not wait for it."""
_MAX_LOG_LINES = 20


def run_top(app: App, config: Config, session: Session) -> None:
    """Show the queues in full screen until the user or a signal ends it."""
    # the terminal is restored first: stopping the pollers may take a second
    with (
        _log_lines_kept(),
        app.watching() as store,
        opened() as terminal,
        _looking(store, config, terminal.wake) as newest,
    ):
        while True:
            terminal.draw(_screen(terminal, newest(), session))
            # the clock goes on at each full second
            for key in terminal.keys(1.0 - time.time() % 1.0):
                if key is Key.CTRL_Z:
                    terminal.suspend()
                elif session.press(key):
                    return


def _screen(terminal: Terminal, look: Look | None, session: Session) -> RenderableType:
    terminal.measure()
    console = terminal.console
    width, height = console.size
    now = clock(time.time())
    if look is None:
        return Text("\n").join((title("", now, width), Text("Reading the queues…")))
    if session.opened is not None:
        return detail_screen(look, session.opened, session, console, now)
    if session.findings:
        return findings_screen(look, session, console, now)
    return table_screen(look, session, width, height, now)


@contextmanager
def _looking(
    store: SnapshotStore, config: Config, wake: Callable[[], None]
) -> Iterator[Callable[[], Look | None]]:
    """A function that returns the newest look; `wake` is called when there is a newer one."""
    looks: deque[Look] = deque(maxlen=1)
    failures: deque[Exception] = deque(maxlen=1)
    stopped = threading.Event()
    caches: dict[str, OutlookCache] = {}

    def look() -> None:
        try:
            while not stopped.is_set():
                store.changed.wait(_LOOK_SECONDS)
                store.changed.clear()
                started = time.monotonic()
                moment = moment_of(store, config)
                record_histories(moment)
                if moment.snapshots:
                    looks.append(look_at(moment, caches))
                    wake()
                stopped.wait(_REST * (time.monotonic() - started))
        except Exception as error:  # the main thread raises it
            failures.append(error)
            wake()

    def newest() -> Look | None:
        if failures:
            raise failures[0]
        return looks[0] if looks else None

    thread = threading.Thread(target=look, name="looking", daemon=True)
    thread.start()
    try:
        yield newest
    finally:
        stopped.set()
        store.changed.set()
        thread.join()


@contextmanager
def _log_lines_kept() -> Iterator[None]:
    """Print the last log lines afterwards: on the screen they would be drawn over the table."""
    if not sys.stderr.isatty():
        yield
        return
    kept = _Kept()
    root = logging.getLogger()
    before = root.handlers[:]
    for handler in before:
        kept.setFormatter(handler.formatter)
    root.handlers[:] = [kept]
    try:
        yield
    finally:
        root.handlers[:] = before
        for line in kept.lines:
            print(line, file=sys.stderr)  # noqa: T201 - it is formatted


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=_MAX_LOG_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
