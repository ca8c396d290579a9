"""Measurements of the running exporter, twice a second."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.observer import decreased_since
from tests.support.pages import Samples, every, parse, value

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PAUSE_SECONDS = 0.5
CONNECTION = "queues"
"""The connection that has faults."""
_FROM_EVENTS = ("bullmq_queue_jobs_", "bullmq_queue_job_")


@dataclass(frozen=True)
class Size:
    """Memory, descriptors and threads of the process."""

    memory_mb: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Size:
        folder = Path(f"/proc/{pid}")
        resident = int((folder / "statm").read_text().split()[1])
        return cls(
            round(resident * _PAGE_BYTES / 1e6, 1),
            len(list((folder / "fd").iterdir())),
            len(list((folder / "task").iterdir())),
        )


@dataclass(frozen=True)
class Poll:
    """A successful poll of the queues."""

    at: float
    """Unix time."""
    number: int
    """The number of polls so far, by the exporter's count of PINGs."""


@dataclass
class Vitals:
    """The measurements so far. Written by one thread, read by others."""

    sizes: list[Size] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)
    """Duration of each scrape in seconds."""
    overslept: list[float] = field(default_factory=list)
    """Seconds by which the observer woke up late before each scrape, because of the machine."""
    polls: list[Poll] = field(default_factory=list)
    """Observed polls; there may have been others in between."""
    wrong: list[str] = field(default_factory=list)
    """Violations of what must always hold."""


class Observer:
    """Scrapes the exporter in its own thread."""

    def __init__(self, running: Daemon) -> None:
        self._daemon = running
        self._before: Samples = {}
        self.vitals = Vitals()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        since = time.monotonic()
        while not self._over.wait(_PAUSE_SECONDS):
            self.vitals.overslept.append(time.monotonic() - since - _PAUSE_SECONDS)
            try:
                self._measure()
            except Exception as error:
                self.vitals.wrong.append(f"{type(error).__name__}: {error}")
            since = time.monotonic()

    def _measure(self) -> None:
        vitals = self.vitals
        vitals.sizes.append(Size.of(self._daemon.process.pid))
        if self._daemon.get("/-/healthy").status != 200:
            vitals.wrong.append(f"/-/healthy was not 200 at {time.time():.0f}")
        answer = self._daemon.get("/metrics")
        vitals.scrapes.append(answer.seconds)
        samples = parse(answer.text)
        # counters of Redis restart with its process, and those of queues when they return
        ours = {
            key: value
            for key, value in samples.items()
            if key[0].startswith(_FROM_EVENTS) and ("connection", CONNECTION) in key[1]
        }
        vitals.wrong += decreased_since(self._before, ours)
        for at in every(
            samples,
            "bullmq_exporter_collector_last_success_timestamp_seconds",
            collector="queues",
            connection=CONNECTION,
        ).values():
            if not vitals.polls or at != vitals.polls[-1].at:
                number = value(
                    samples, "bullmq_connection_ping_seconds_count", connection=CONNECTION
                )
                assert number is not None
                vitals.polls.append(Poll(at, int(number)))
