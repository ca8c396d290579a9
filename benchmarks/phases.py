"""Splits the CPU time of an exporter's process into its phases, by wrapping their functions."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from exporter.diagnosis import diagnose
from exporter.exposition import Renderer
from exporter.exposition.chunks import deflate, join_gzip
from exporter.polling import Poller
from exporter.polling.discovery_pacer import DiscoveryPacer
from exporter.views.recording import record_histories
from exporter.views.scaling import OutlookCache

PHASES: Final = ("poll", "discovery", "diagnosis", "history", "outlook", "page", "gzip")
"""In the order of a poll; what is left is HTTP and the control of the benchmark."""


class Phases:
    """CPU seconds by phase, each without the phases inside it."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._lock = threading.Lock()
        self._inner = threading.local()

    def install(self) -> None:
        """Measure every later call of the functions that make up a phase."""
        self._wrap("poll", Poller, "poll")
        self._wrap("discovery", DiscoveryPacer, "advance")
        self._wrap("page", Renderer, "render")
        self._wrap("outlook", OutlookCache, "outlooks")
        for phase, function in (
            ("diagnosis", diagnose),
            ("history", record_histories),
            ("gzip", deflate),
            ("gzip", join_gzip),
        ):
            _replace_everywhere(function, self._timed(phase, function))

    def milliseconds(self) -> dict[str, float]:
        """CPU milliseconds so far of each phase, and of the whole process."""
        with self._lock:
            found = {phase: self._seconds[phase] * 1000 for phase in PHASES}
        return found | {"process": time.process_time() * 1000}

    def _wrap(self, phase: str, owner: type, name: str) -> None:
        setattr(owner, name, self._timed(phase, getattr(owner, name)))

    def _timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            # CPU seconds of the phases inside each phase that this thread is in
            stack: list[float] = self._inner.__dict__.setdefault("stack", [])
            stack.append(0.0)
            start = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                took = time.thread_time() - start
                own = took - stack.pop()
                if stack:
                    stack[-1] += took
                with self._lock:
                    self._seconds[phase] += own

        return timed


def _replace_everywhere(function: object, replacement: object) -> None:
    """Replace a function in every module that has imported it by name."""
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if value is function:
                setattr(module, name, replacement)
