"""The exporter's signs of life, taken twice a second."""

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
    """What the process holds."""

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
    """Wall time."""
    number: int
    """How many there have been, by the exporter's own count of PINGs."""


@dataclass
class Vitals:
    """What was seen so far. Written by one thread, read by others."""

    sizes: list[Size] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)
    """Seconds each took."""
    overslept: list[float] = field(default_factory=list)
    """Seconds by which the observer woke up late before each: the machine's doing."""
    polls: list[Poll] = field(default_factory=list)
    """Those that were seen; others may have come in between."""
    wrong: list[str] = field(default_factory=list)
    """What must never be seen."""


class Observer:
    """Scrapes in a thread of its own."""

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
        asked = time.monotonic()
        while not self._over.wait(_PAUSE_SECONDS):
            self.vitals.overslept.append(time.monotonic() - asked - _PAUSE_SECONDS)
            try:
                self._look()
            except Exception as error:
                self.vitals.wrong.append(f"{type(error).__name__}: {error}")
            asked = time.monotonic()

    def _look(self) -> None:
        vitals = self.vitals
        vitals.sizes.append(Size.of(self._daemon.process.pid))
        if self._daemon.get("/-/healthy").status != 200:
            vitals.wrong.append(f"/-/healthy was not 200 at {time.time():.0f}")
        answer = self._daemon.get("/metrics")
        vitals.scrapes.append(answer.seconds)
        samples = parse(answer.text)
        # those of Redis itself begin anew with its process, and those of queues that come back
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
