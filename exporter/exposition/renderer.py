"""Keeps the newest page in memory, off the path of requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from exporter.config.models import Config
from exporter.exposition.page import Page, PageWriter, Variant
from exporter.state.store import SnapshotStore
from exporter.views.moment import Moment, moment_of

logger = logging.getLogger("exporter.exposition")

_WANTED_SECONDS = 120.0
_LONGEST_WAIT = 1.0


class Renderer:
    """A thread that makes a page whenever a poller has published or something has become stale.

    Variants that were asked for in the last two minutes are made with it, so that a request
    finds its bytes ready.
    """

    def __init__(self, store: SnapshotStore, current: Callable[[], Config]) -> None:
        """`current` returns the effective configuration, which a reload replaces."""
        self._store = store
        self._current = current
        self._writer = PageWriter()
        self._wanted: dict[Variant, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)
        self.page: Page = self._writer.write(self._moment())

    def start(self) -> None:
        """Begin to make pages."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for it."""
        self._stop.set()
        self._store.changed.set()
        self._thread.join(timeout=1)

    @property
    def alive(self) -> bool:
        """Whether pages are being made."""
        return self._thread.is_alive()

    def body(self, variant: Variant) -> bytes:
        """The newest page in that variant."""
        self._wanted[variant] = time.monotonic()
        return self.page.body(variant)

    def render(self) -> Page:
        """Make a page now."""
        page = self._writer.write(self._moment())
        since = time.monotonic() - _WANTED_SECONDS
        for variant, asked in tuple(self._wanted.items()):
            if asked >= since:
                page.body(variant)
        self.page = page
        return page

    def _run(self) -> None:
        while not self._stop.is_set():
            wait = min(_LONGEST_WAIT, max(0.0, self.page.expires_at - time.monotonic()))
            changed = self._store.changed.wait(wait)
            if not changed and time.monotonic() <= self.page.expires_at:
                continue
            self._store.changed.clear()
            try:
                self.render()
            except Exception:
                logger.exception("the page could not be made; the last one is still shown")
                self._stop.wait(_LONGEST_WAIT)

    def _moment(self) -> Moment:
        return moment_of(self._store, self._current())
