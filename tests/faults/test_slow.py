"""Redis is always reachable, but with a high latency."""

from __future__ import annotations

from pathlib import Path

from exporter.collectors.queues import STATES
from tests.support.daemon import Daemon
from tests.support.fault_harness import harness
from tests.support.live import RealWork
from tests.support.pages import jobs
from tests.support.proxy import Proxy
from tests.support.servers import redis_server
from tests.support.waiting import wait_for


def test_200_ms_of_latency(tmp_path: Path, idle: Daemon) -> None:
    """Nothing is lost or withdrawn; polls take longer than the interval, one after the other."""
    with redis_server() as server:
        proxy, work = Proxy(server), RealWork(server)
        # a poll of ten round trips takes two seconds; its samples must not become stale
        with harness(tmp_path, idle, server, work, url=proxy.url, stale_after=30) as found:
            with found.fault("200 ms latency"):
                first = len(found.observer.observations)
                proxy.delay = 0.2
                done = found.live.completed
                wait_for(lambda: found.completed(found.last) >= done, "newer counts")
                wait_for(lambda: len(found.observer.observations) > first + 5, "observations")
                shown = [len(jobs(seen.samples)) for seen in found.observer.observations[first:]]
                assert set(shown) == {2 * len(STATES)}
                proxy.delay = 0.0
            found.end()
        proxy.close()
