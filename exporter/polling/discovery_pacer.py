"""Runs discovery between polls: when a pass starts, and how long it pauses between pages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Final

from exporter.collectors import CommandErrors, Context, Discovery
from exporter.config.models import Queues
from exporter.connection import Client
from exporter.polling.recorder import Recorder

_URGENT_SHARE: Final = 0.5
"""Share of the time of the first pass, since nothing is known before it has ended, and of one that
was asked for: what is left is for other clients."""
_SHORTEST_PAUSE: Final = 0.001


class DiscoveryPacer:
    """Advances a discovery through its passes, one page of SCAN at a time.

    Passes are limited to a share of Redis' time: after a page come pauses, and after a pass that
    took more than the share, a longer one. Redis' time is that of the keys a page looks at; what a
    round trip takes depends on the network as well.
    """

    def __init__(
        self, discovery: Discovery, client: Client, recorder: Recorder, options: Queues
    ) -> None:
        self._discovery = discovery
        self._client = client
        self._recorder = recorder
        self._interval = options.discovery_interval_seconds
        self._share = options.discovery_redis_share
        self.redis_seconds = 0.0
        """Redis' time for all pages so far."""
        self._next_pass = 0.0
        self._pass_start = 0.0
        self._seconds_before = 0.0
        """`redis_seconds` at the start of the pass."""
        self._requested = threading.Event()
        self._urgent = True
        """Whether the pass in progress, or the next one, must not wait for the share."""
        self._errors = CommandErrors()

    @property
    def due(self) -> bool:
        """Whether a pass is in progress or should start."""
        if not self._discovery.scans:
            return False
        now = time.monotonic()
        return self._discovery.in_progress or self._requested.is_set() or now >= self._next_pass

    def request(self) -> None:
        """Start a pass at the next poll, or hurry the one in progress. Thread-safe."""
        self._requested.set()

    def add_queues_of_workers(self, queues: Iterable[tuple[str, str]]) -> None:
        """Watch these queues, by prefix and name, if they exist: workers are connected for them."""
        if self._discovery.scans:
            context = Context(self._client, time.monotonic())
            self._recorder.guard(
                self._discovery.name,
                lambda: self._discovery.add_queues_of_workers(context, queues),
            )

    def advance(self, until: float, stop: threading.Event) -> None:
        """Read pages, with pauses, until the pass ends or fails, or monotonic time `until`.

        Reads at least one page, since polls that take longer than their interval leave no time.
        """
        while self.due and not stop.is_set():
            if self._requested.is_set():
                self._requested.clear()
                self._urgent = True
            start = time.monotonic()
            if not self._page(start):
                return
            took = time.monotonic() - start
            if self._urgent:
                pause = took * (1 / _URGENT_SHARE - 1)
            else:
                pause = self._discovery.page_seconds / self._share - took
            stop.wait(min(max(_SHORTEST_PAUSE, pause), max(0.0, until - time.monotonic())))
            if time.monotonic() >= until:
                return

    def _page(self, start: float) -> bool:
        """Read one page. Returns False when the pass has ended or failed."""
        name = self._discovery.name
        if not self._discovery.in_progress:
            self._pass_start, self._errors = start, CommandErrors()
            self._seconds_before = self.redis_seconds
        context = Context(self._client, start, errors=self._errors)
        self.redis_seconds += self._discovery.page_seconds
        done = self._recorder.guard(name, lambda: self._discovery.step(context))
        if done is None:
            self._discovery.abandon()
        elif done:
            self._recorder.succeeded(name, time.monotonic() - self._pass_start, self._errors)
        else:
            return True
        # retry a failed pass at once, but not one whose commands Redis refuses
        failed = self._recorder.reports[name].success is False
        if done is None and failed:
            self._next_pass = start
        else:
            spent = self.redis_seconds - self._seconds_before
            self._next_pass = self._pass_start + max(self._interval, spent / self._share)
            self._urgent = False
        return False
