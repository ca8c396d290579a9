"""Makes the responses that take long in a thread, and keeps them until something changes.

With ten thousand queues, a verdict or a list of them takes tenths of a second. The event loop never
waits for that, polls do not either, and many visitors cost as much as one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Final, TypeVar

from exporter.config.models import Config
from exporter.findings import Verdict, verdict_of
from exporter.state.store import SnapshotStore
from exporter.threads import DaemonExecutor
from exporter.views.moment import Moment, moment_of
from exporter.views.overview import Overview, QueueView, last_known, overview
from exporter.views.queue_list import QueueList

_CACHE_SECONDS: Final = 1.0
"""Limited because facts become stale, and queues blocked, as time passes."""
_MAX_KEPT: Final = 16
"""Responses of one moment."""

Made = TypeVar("Made")


class Known:
    """A moment with what is derived from it, each once, and the responses made from it."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.made: dict[Hashable, Any] = {}

    @cached_property
    def overview(self) -> Overview:
        """Every queue."""
        return overview(self.moment)

    @cached_property
    def last_known(self) -> list[QueueView]:
        """The queues of connections that cannot be read now."""
        return last_known(self.moment)

    @cached_property
    def queues(self) -> QueueList:
        """All of them, also those that cannot be read now, to choose from."""
        return QueueList(self.moment)

    @cached_property
    def verdict(self) -> Verdict:
        """What is wrong, and what is not known."""
        return verdict_of(self.moment)


class Background:
    """A single thread, so that requests share what is derived from a moment."""

    def __init__(self, current: Callable[[], Config], store: SnapshotStore) -> None:
        self._current = current
        self._store = store
        self._pool = DaemonExecutor(1, "responses")
        self._last: Known | None = None

    async def response(
        self, key: Hashable, make: Callable[[Known], Made], max_age: float = 0.0
    ) -> Made:
        """What `make` returns for the current moment, made without blocking the event loop.

        `key` identifies the response among all others. The last moment is taken instead if it is
        less than `max_age` seconds old.
        """
        return await self.run(self.make, key, make, time.monotonic() - max_age)

    async def run(self, function: Callable[..., Made], *arguments: object) -> Made:
        """What the function returns, called without blocking the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, function, *arguments)

    def make(
        self, key: Hashable, make: Callable[[Known], Made], since: float | None = None
    ) -> Made:
        """As `response`, in this thread. Not thread-safe.

        A moment after the monotonic time `since` is new enough. While a request waits for others,
        one may be made for these.
        """
        known = self._newest(time.monotonic() if since is None else since)
        if key not in known.made:
            if len(known.made) >= _MAX_KEPT:
                known.made.clear()
            known.made[key] = make(known)
        found: Made = known.made[key]
        return found

    def _newest(self, since: float) -> Known:
        """The last moment while it is young and nothing new was published; else a new one.

        Requests that came before that moment share it, however long the responses to others took.
        """
        last = self._last
        if last is not None and since < last.moment.now:
            return last
        moment = moment_of(self._store, self._current())
        if (
            last is not None
            and moment.now - last.moment.now < _CACHE_SECONDS
            and moment.stored.is_same(last.moment.stored)
        ):
            return last
        self._last = Known(moment)
        return self._last
