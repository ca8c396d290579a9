"""Runs discovery between polls: when a pass starts, and how long it pauses between pages."""

from __future__ import annotations

import threading
import time
from typing import Final

from exporter.collectors import CommandErrors, Context, Discovery
from exporter.connection import Client
from exporter.polling.recorder import Recorder

# Share of the time that Redis may spend on a pass. The first pass should end soon, since no queue
# is shown before it ends; later passes must not slow other clients down.
_FIRST_SHARE: Final = 0.5
_LATER_SHARE: Final = 0.1
_SHORTEST_PAUSE: Final = 0.001


class DiscoveryPacer:
    """Advances a discovery through its passes, one page of SCAN at a time."""

    def __init__(
        self, discovery: Discovery, client: Client, recorder: Recorder, interval: float
    ) -> None:
        self._discovery = discovery
        self._client = client
        self._recorder = recorder
        self._interval = interval
        self._next_pass = 0.0
        self._pass_start = 0.0
        self._errors = CommandErrors()

    @property
    def due(self) -> bool:
        """Whether a pass is in progress or should start."""
        if not self._discovery.scans:
            return False
        return self._discovery.in_progress or time.monotonic() >= self._next_pass

    def advance(self, until: float, stop: threading.Event) -> None:
        """Read pages, with pauses, until the pass ends or fails, or monotonic time `until`.

        Reads at least one page, since polls that take longer than their interval leave no time.
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
        """Read one page. Returns False when the pass has ended or failed."""
        name = self._discovery.name
        if not self._discovery.in_progress:
            self._pass_start, self._errors = start, CommandErrors()
        context = Context(self._client, start, errors=self._errors)
        done = self._recorder.guard(name, lambda: self._discovery.step(context))
        if done is None:
            self._discovery.abandon()
        elif done:
            self._recorder.succeeded(name, time.monotonic() - self._pass_start, self._errors)
        else:
            return True
        # retry a failed pass at once, but not one whose commands Redis refuses
        failed = self._recorder.reports[name].success is False
        self._next_pass = start if done is None and failed else self._pass_start + self._interval
        return False
