"""Observes an exporter continuously: its pages, their response times, and its process.

Seconds mean little on a shared machine. The observer therefore also queries a second, idle exporter
whose Redis has no fault: its pages show how fast a page can be served at that moment, and its polls
how much time has passed for an exporter.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.pages import Samples, every, parse, value
from tests.support.waiting import LIMIT_SECONDS

_PAUSE_SECONDS = 0.05
_LAST_SUCCESS = "bullmq_exporter_collector_last_success_timestamp_seconds"
_ERRORS = "bullmq_exporter_collector_errors_total"
_PINGS = "bullmq_connection_ping_seconds_count"


@dataclass(frozen=True)
class Observation:
    """The state of the exporter at one moment."""

    at: float
    """Monotonic time at which the page was received."""
    seconds: float
    """Response time of the page in seconds."""
    idle_seconds: float
    """Response time of the idle exporter's page, just before."""
    page: str
    idle_page: str
    healthy: int
    """The status of `/-/healthy`."""
    descriptors: int
    threads: int

    @property
    def requested_at(self) -> float:
        """Monotonic time of the request."""
        return self.at - self.seconds

    @property
    def samples(self) -> Samples:
        return _parsed(self.page)

    @property
    def idle_polls(self) -> int:
        """Number of polls of the idle exporter so far; each starts with one PING."""
        return pings(_parsed(self.idle_page))


_parsed = lru_cache(maxsize=1000)(parse)


class Observer:
    """A thread that queries both exporters twenty times a second, over persistent connections."""

    def __init__(self, watched: Daemon, idle: Daemon) -> None:
        self._watched = watched
        self._idle = idle
        self._process = Path(f"/proc/{watched.process.pid}")
        self.observations: list[Observation] = []
        self.failures: list[str] = []
        """Failed requests, and responses that were not a page."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def since(self, moment: float) -> Sequence[Observation]:
        """The observations whose page was requested after this monotonic time."""
        return [seen for seen in self.observations if seen.requested_at >= moment]

    def _run(self) -> None:
        watched, idle = _connect(self._watched), _connect(self._idle)
        while not self._stop.wait(_PAUSE_SECONDS):
            try:
                self._observe(watched, idle)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                watched.close()
                idle.close()
        watched.close()
        idle.close()

    def _observe(
        self, watched: http.client.HTTPConnection, idle: http.client.HTTPConnection
    ) -> None:
        idle_page, idle_seconds = self._page(idle)
        page, seconds = self._page(watched)
        at = time.monotonic()
        healthy, _ = _get(watched, "/-/healthy")
        held = [len(list((self._process / kind).iterdir())) for kind in ("fd", "task")]
        if self.observations:  # most pages are equal to the previous one, which is kept once
            last = self.observations[-1]
            page = last.page if last.page == page else page
            idle_page = last.idle_page if last.idle_page == idle_page else idle_page
        self.observations.append(
            Observation(at, seconds, idle_seconds, page, idle_page, healthy, *held)
        )

    def _page(self, connection: http.client.HTTPConnection) -> tuple[str, float]:
        start = time.monotonic()
        status, body = _get(connection, "/metrics")
        if status != 200:
            raise http.client.HTTPException(f"/metrics: {status}")
        return body.decode(), time.monotonic() - start


def _connect(exporter: Daemon) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=LIMIT_SECONDS)


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    """Send a request; again if the server has closed the idle connection."""
    try:
        return _request(connection, path)
    except ConnectionError:
        connection.close()
        return _request(connection, path)


def _request(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


# --- response times ------------------------------------------------------------------------------

_TIMES_SLOWER = 10
_MANY = 40
"""Number of pages for which the 95th percentile is meaningful: two may be late by chance."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[max(0, round(len(values) * share) - 1)]


def slow(seen: Sequence[Observation], timeout: float) -> Iterator[str]:
    """The percentiles at which pages were as slow as if they had waited for Redis.

    Median, third quartile and, for many pages, 95th percentile may be ten times those of the idle
    exporter's pages at the same times, plus a tenth of the timeout of Redis for the work of losing
    and restoring a connection. A page that waited for an unresponsive Redis would take about the
    timeout at nearly every request.
    """
    for share in (0.5, 0.75, 0.95) if len(seen) >= _MANY else (0.5, 0.75):
        found = percentile([each.seconds for each in seen], share)
        idle = percentile([each.idle_seconds for each in seen], share)
        limit = _TIMES_SLOWER * idle + timeout / _TIMES_SLOWER
        if found > limit:
            yield f"{share:.0%} of {len(seen)} pages took up to {found:.3f} s; idle: {idle:.3f} s"


# --- polls, the exporter's own measure of time ---------------------------------------------------


def pings(samples: Samples) -> int:
    """Number of successful PINGs: one per poll that reached Redis, and one per connect."""
    return int(sum(every(samples, _PINGS).values()))


def polls(seen: Sequence[Observation]) -> int:
    """Number of polls of the queues that ended between the first and the last observation.

    The exporter counts failed polls; successful ones change the time of the last success.
    """
    if not seen:
        return 0
    failed = _failed(seen[-1].samples) - _failed(seen[0].samples)
    times = [value(each.samples, _LAST_SUCCESS, collector="queues") for each in seen]
    worked = sum(now is not None and now != before for before, now in pairwise(times))
    return failed + worked


def _failed(samples: Samples) -> int:
    return int(sum(every(samples, _ERRORS, collector="queues").values()))


# --- invariants of the pages ---------------------------------------------------------------------

_COUNTERS = ("_total", "_bucket", "_count", "_sum")


def decreased(seen: Sequence[Observation]) -> Iterator[str]:
    """Counters that decreased, also after an absence.

    Counters of Redis itself restart with another process of Redis.
    """
    known: Samples = {}
    run, last = "", ""
    for each in seen:
        if each.page is last:
            continue
        last, samples = each.page, each.samples
        reached = {dict(k[1])["run_id"] for k in every(samples, "bullmq_connection_info")}
        if reached and reached != {run}:
            known = {k: v for k, v in known.items() if not k[0].startswith("bullmq_redis_")}
            (run,) = reached
        yield from decreased_since(known, samples)


def decreased_since(known: Samples, samples: Samples) -> Iterator[str]:
    """Counters that are lower than in `known`, which is updated."""
    for key, now in samples.items():
        if key[0].endswith(_COUNTERS):
            if now < known.get(key, now):
                yield f"{key[0]} {dict(key[1])} fell from {known[key]:g} to {now:g}"
            known[key] = now


_SHOWN_BY = {
    "bullmq_redis_": "server",
    "bullmq_queue_workers": "workers",
    "bullmq_queue_jobs_": "events",
    "bullmq_queue_job_": "events",
    "bullmq_queue_events_read": "events",
    "bullmq_queue_events_lost": "events",
    "bullmq_queue_": "queues",
}
"""The collector of a family by the prefix of its name; the first match counts."""


def stale(seen: Sequence[Observation], most_polls: int) -> Iterator[str]:
    """Samples that were still shown too long after their collector's last success.

    Too long is more than `most_polls` polls of the idle exporter, counted from when the collector's
    last success was first seen on a page.
    """
    success: dict[str, tuple[float, int]] = {}
    for each in seen:
        for (name, labels), at in each.samples.items():
            collector = dict(labels).get("collector", "")
            if name == _LAST_SUCCESS and success.get(collector, (0.0, 0))[0] != at:
                success[collector] = (at, each.idle_polls)
        ages = {name: each.idle_polls - polled for name, (_, polled) in success.items()}
        old = {name: age for name, age in ages.items() if age > most_polls}
        for name in {name for name, _ in each.samples} if old else ():
            collector = next((c for start, c in _SHOWN_BY.items() if name.startswith(start)), "")
            if collector in old:
                yield f"{name} is shown {old[collector]} polls after {collector}'s last success"
