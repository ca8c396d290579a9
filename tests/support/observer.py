"""Watches an exporter without a pause: pages, how fast they come, and what its process holds."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.support.pages import Samples, every, parse

_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Observation:
    """What was seen at one moment."""

    at: float
    """Monotonic time at which the page had come."""
    seconds: float
    """How long it took to come."""
    late: float
    """How much later than it had asked for the observer woke up for it: the machine's doing."""
    page: str
    healthy: int
    """The status of `/-/healthy`."""
    descriptors: int
    threads: int

    @property
    def samples(self) -> Samples:
        return _parsed(self.page)


_parsed = lru_cache(maxsize=None)(parse)


class Observer:
    """A thread that looks twenty times a second, over a connection that it keeps."""

    def __init__(self, port: int, pid: int) -> None:
        self._port = port
        self._process = Path(f"/proc/{pid}")
        self.looks: list[Observation] = []
        self.failures: list[str] = []
        """Requests that were not answered, or not with a page."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        asked = time.monotonic()
        while not self._stop.wait(_PAUSE_SECONDS):
            late = time.monotonic() - asked - _PAUSE_SECONDS
            try:
                self._look(connection, late)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
            asked = time.monotonic()
        connection.close()

    def _look(self, connection: http.client.HTTPConnection, late: float) -> None:
        start = time.monotonic()
        status, body = _get(connection, "/metrics")
        at = time.monotonic()
        if status != 200:
            self.failures.append(f"/metrics: {status}")
            return
        page = body.decode()
        if self.looks and self.looks[-1].page == page:
            page = self.looks[-1].page
        healthy, _ = _get(connection, "/-/healthy")
        held = [len(list((self._process / kind).iterdir())) for kind in ("fd", "task")]
        self.looks.append(Observation(at, at - start, late, page, healthy, *held))


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    return sorted(values)[max(0, round(len(values) * share) - 1)]


_COUNTERS = ("_total", "_bucket", "_count", "_sum")


def fallen(looks: Sequence[Observation]) -> Iterator[str]:
    """Counters that were ever less than before, also after having been absent.

    What Redis counts itself begins anew with another process of Redis.
    """
    known: Samples = {}
    run, last = "", ""
    for look in looks:
        if look.page is last:
            continue
        last, samples = look.page, look.samples
        reached = {dict(k[1])["run_id"] for k in every(samples, "bullmq_connection_info")}
        if reached and reached != {run}:
            known = {k: v for k, v in known.items() if not k[0].startswith("bullmq_redis_")}
            (run,) = reached
        yield from fallen_since(known, samples)


def fallen_since(known: Samples, samples: Samples) -> Iterator[str]:
    """Counters that are less than in `known`, which learns what they are now."""
    for key, value in samples.items():
        if key[0].endswith(_COUNTERS):
            if value < known.get(key, value):
                yield f"{key[0]} {dict(key[1])} fell from {known[key]:g} to {value:g}"
            known[key] = value


_SHOWN_BY = {
    "bullmq_redis_": "server",
    "bullmq_queue_workers": "workers",
    "bullmq_queue_": "queues",
    "bullmq_jobs_": "events",
    "bullmq_job_": "events",
    "bullmq_events_": "events",
}
"""The collector of a family, by how its name begins; the first that fits."""


def stale(looks: Sequence[Observation], stale_after: float, slack: float) -> Iterator[str]:
    """Samples that were still shown when their collector had not worked for too long.

    Age is counted from when a new success was first seen on a page, so it is never too great, and
    no clock but ours is asked.
    """
    success = "bullmq_exporter_collector_last_success_timestamp_seconds"
    seen: dict[str, tuple[float, float]] = {}
    for look in looks:
        for (name, labels), value in look.samples.items():
            collector = dict(labels).get("collector", "")
            if name == success and seen.get(collector, (0.0, 0.0))[0] != value:
                seen[collector] = (value, look.at)
        old = {c for c, (_, at) in seen.items() if look.at - at > stale_after + slack}
        for name in {name for name, _ in look.samples} if old else ():
            collector = next((c for start, c in _SHOWN_BY.items() if name.startswith(start)), "")
            if collector in old:
                age = look.at - seen[collector][1]
                yield f"{name} is shown {age:.1f} s after {collector} worked last"
