"""Renders the metrics page in the background, so that requests are served from memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from exporter.config.models import Config
from exporter.exposition.formats import Format
from exporter.exposition.page import Page, PageWriter, Variant, exporter_page
from exporter.state.store import SnapshotStore
from exporter.views.moment import Moment, moment_of
from exporter.views.recording import record_histories

logger = logging.getLogger("exporter.exposition")

_REQUESTED_SECONDS = 120.0
_MAX_WAIT_SECONDS = 1.0
_LOG_SECONDS = 60.0
"""How often a page that still cannot be rendered, or a history not recorded, is logged."""


class Renderer:
    """A thread that renders a page when a poller has published or a fact has become stale.

    Every variant that was requested within the last two minutes is rendered at once, so that a
    request finds its bytes ready; if there was none, the samples are encoded as text, which the
    first request may want.

    If a page cannot be rendered, the previous one is served until its first value becomes too old,
    and then a page that contains only what is known of the exporter itself.

    It also records the history of the queues: no other thread sees every moment.
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
        self._failures = 0
        self._failing_since: float | None = None
        self._logged_at = float("-inf")
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

    def failing_seconds(self, now: float) -> float:
        """For how long pages could not be rendered, at that monotonic time; 0 if they can be."""
        return 0.0 if self._failing_since is None else now - self._failing_since

    def is_ready(self, variant: Variant) -> bool:
        """Whether `body` returns at once; rendering a variant that is not may take long."""
        return self.page.has(variant)

    def body(self, variant: Variant) -> bytes:
        """The newest page in that variant."""
        self._requested[variant] = time.monotonic()
        return self.page.body(variant)

    def render(self) -> Page:
        """Replace the page by one of the current moment, or count the failure. Not thread-safe."""
        try:
            moment = self._moment()
            self._record(moment)
            page = self._writer.write(moment, self._failures)
            since = time.monotonic() - _REQUESTED_SECONDS
            wanted = [variant for variant, at in tuple(self._requested.items()) if at >= since]
            for variant in wanted:
                page.body(variant)
            if not wanted:
                page.encode(Format.TEXT)
        except Exception as error:
            self._fail(error)
        else:
            self._failing_since = None
            self.page = page
        return self.page

    def _record(self, moment: Moment) -> None:
        """Record the history; a bug in it must not cost the page."""
        try:
            record_histories(moment)
        except Exception:
            now = time.monotonic()
            if now - self._logged_at >= _LOG_SECONDS:
                self._logged_at = now
                logger.exception("the history could not be recorded; please report this bug")

    def _fail(self, error: Exception) -> None:
        now = time.monotonic()
        self._failures += 1
        self._store.render_failed_at = now
        self._failing_since = now if self._failing_since is None else self._failing_since
        self._writer = PageWriter()  # what it has cached may be the cause
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            text = "the metrics page could not be rendered; please report this bug"
            logger.error(text, exc_info=error)
        if now > self.page.expires_at:
            self.page = exporter_page(self._failures)

    def _run(self) -> None:
        while not self._stop.is_set():
            wait = min(_MAX_WAIT_SECONDS, max(0.0, self.page.expires_at - time.monotonic()))
            changed = self._store.changed.wait(wait)
            expired = time.monotonic() > self.page.expires_at
            if not (changed or expired or self._failing_since is not None):
                continue
            self._store.changed.clear()
            self.render()
            if self._failing_since is not None:
                self._stop.wait(_MAX_WAIT_SECONDS)

    def _moment(self) -> Moment:
        return moment_of(self._store, self._current())
