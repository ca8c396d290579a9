"""The walk through the keyspace between polls: when a discovery pass begins, and how it rests."""

from __future__ import annotations

import threading
import time
from typing import Final

from exporter.collectors import CommandErrors, Context, Discovery
from exporter.connection import Client
from exporter.polling.recorder import Recorder

# Share of the time that Redis is kept at a pass: the first should end soon, since nothing is shown
# before; the later ones should not be felt.
_FIRST_SHARE: Final = 0.5
_LATER_SHARE: Final = 0.1
_SHORTEST_PAUSE: Final = 0.001


class DiscoveryPacer:
    """Takes a discovery through its passes, a page at a time."""

    def __init__(
        self, discovery: Discovery, client: Client, recorder: Recorder, interval: float
    ) -> None:
        self._discovery = discovery
        self._client = client
        self._recorder = recorder
        self._interval = interval
        self._next_pass = 0.0
        self._began = 0.0
        self._errors = CommandErrors()

    @property
    def due(self) -> bool:
        """Whether a pass is under way or should begin."""
        if not self._discovery.scans:
            return False
        return self._discovery.in_progress or time.monotonic() >= self._next_pass

    def advance(self, until: float, stop: threading.Event) -> None:
        """Read pages, with pauses, until the pass ends, fails, or the time is over.

        One page at the least: polls may take longer than their interval, and leave no time.
        """
        while self.due and not stop.is_set():
            start = time.monotonic()
            if not self._page(start):
                return
            share = _LATER_SHARE if self._discovery.complete else _FIRST_SHARE
            pause = (time.monotonic() - start) * (1 / share - 1)
            stop.wait(min(max(_SHORTEST_PAUSE, pause), max(0.0, until - time.monotonic())))
            if time.monotonic() >= until:
                return

    def _page(self, start: float) -> bool:
        """Read one page; False when the pass is over or has failed."""
        name = self._discovery.name
        if not self._discovery.in_progress:
            self._began, self._errors = start, CommandErrors()
        context = Context(self._client, start, errors=self._errors)
        done = self._recorder.guard(name, lambda: self._discovery.step(context))
        if done is None:
            self._discovery.abandon()
        elif done:
            self._recorder.worked(name, time.monotonic() - self._began, self._errors)
        else:
            return True
        # a fault may be over soon; what Redis refuses it will refuse again
        failed = self._recorder.reports[name].success is False
        self._next_pass = start if done is None and failed else self._began + self._interval
        return False
