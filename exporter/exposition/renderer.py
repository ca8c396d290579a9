"""Renders the metrics page in the background, so that requests are served from memory."""

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

_REQUESTED_SECONDS = 120.0
_MAX_WAIT_SECONDS = 1.0


class Renderer:
    """A thread that renders a page when a poller has published or a fact has become stale.

    Every variant that was requested within the last two minutes is rendered at once, so that a
    request finds its bytes ready.
    """

    def __init__(self, store: SnapshotStore, current: Callable[[], Config]) -> None:
        """`current` returns the effective configuration, which a reload replaces."""
        self._store = store
        self._current = current
        self._writer = PageWriter()
        self._requested: dict[Variant, float] = {}
        """Monotonic time of the last request for each variant."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)
        self.page: Page = self._writer.write(self._moment())

    def start(self) -> None:
        """Start rendering."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it to end, at most a second."""
        self._stop.set()
        self._store.changed.set()
        self._thread.join(timeout=1)

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def body(self, variant: Variant) -> bytes:
        """The newest page in that variant."""
        self._requested[variant] = time.monotonic()
        return self.page.body(variant)

    def render(self) -> Page:
        """Render a page now. Not thread-safe."""
        page = self._writer.write(self._moment())
        since = time.monotonic() - _REQUESTED_SECONDS
        for variant, requested in tuple(self._requested.items()):
            if requested >= since:
                page.body(variant)
        self.page = page
        return page

    def _run(self) -> None:
        while not self._stop.is_set():
            wait = min(_MAX_WAIT_SECONDS, max(0.0, self.page.expires_at - time.monotonic()))
            changed = self._store.changed.wait(wait)
            if not changed and time.monotonic() <= self.page.expires_at:
                continue
            self._store.changed.clear()
            try:
                self.render()
            except Exception:
                logger.exception(
                    "the metrics page could not be rendered; the previous one is still served"
                )
                self._stop.wait(_MAX_WAIT_SECONDS)

    def _moment(self) -> Moment:
        return moment_of(self._store, self._current())
