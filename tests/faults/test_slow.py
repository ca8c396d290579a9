"""Redis is reached all the time, but far away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from exporter.collectors.queues import STATES
from tests.support.fault_harness import INTERVAL, Harness, scene
from tests.support.live import RealWork
from tests.support.pages import jobs
from tests.support.proxy import Proxy
from tests.support.servers import redis_server
from tests.support.waiting import wait_for


@contextlib.contextmanager
def far_away(
    folder: Path, delay: float = 0.0, interval: float = INTERVAL
) -> Iterator[tuple[Harness, Proxy]]:
    """A poll of ten round trips takes longer than the interval, and is not stale for that."""
    with redis_server() as server:
        proxy = Proxy(server)
        proxy.delay = delay
        work, options = RealWork(server), {"interval": interval, "stale_after": 8}
        with scene(folder, server, work, url=proxy.url, **options) as found:
            yield found, proxy
        proxy.close()


def test_200_ms_of_latency(tmp_path: Path) -> None:
    """Nothing is lost or withdrawn; polls take longer than the interval, and follow one another."""
    with far_away(tmp_path) as (found, proxy):
        with found.fault("200 ms latency"):
            first = len(found.observer.looks)
            proxy.delay = 0.2
            done = found.live.completed
            wait_for(lambda: found.completed(found.look) >= done, "news come")
            wait_for(lambda: len(found.observer.looks) > first + 5, "the observer has looked")
            shown = [len(jobs(look.samples)) for look in found.observer.looks[first:]]
            assert set(shown) == {2 * len(STATES)}
            proxy.delay = 0.0
        found.end()
