"""Queues are found as soon as a fault allows it, not a minute later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.fault_harness import RECOVERY_POLLS, config
from tests.support.observer import pings
from tests.support.pages import jobs, value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.servers import redis_server
from tests.support.waiting import wait_for

INTERVAL = 0.5
SHORTEST_WAIT = 0.12
"""Seconds between two losses in a row: a quarter, up to half sooner by chance, in whole ms."""
ERRORS = "bullmq_exporter_collector_errors_total"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with redis_server() as server:
        add_queues(server.client(), "mail")
        found = Proxy(server)
        yield found
        found.close()


def losses(running: Daemon) -> list[float]:
    """When the exporter lost its connection, by its own log."""
    lines = [line for line in running.log.splitlines() if " REDIS lost " in line]
    return [datetime.fromisoformat(line.split()[0]).timestamp() for line in lines]


def test_polls_that_leave_no_time(proxy: Proxy, tmp_path: Path) -> None:
    """Three round trips without any queue, and the next poll is due before all have come."""
    proxy.delay = 0.2
    with daemon(tmp_path, config(proxy.url, INTERVAL, stale_after=30)) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")


def test_a_pass_that_broke_off_is_begun_again(proxy: Proxy, tmp_path: Path) -> None:
    proxy.corrupt = lambda data: b"\0" if b"bull:mail:meta" in data else data
    with daemon(tmp_path, config(proxy.url, INTERVAL)) as running:

        def broken() -> float:
            found = value(running.samples(), ERRORS, collector="discovery", error="protocol")
            return found or 0

        wait_for(lambda: broken() >= 3, "passes broke off")
        # a poll that works does not reset the back-off: each pass costs the connection; the second
        # try comes at once, every later one has to wait
        waits = [after - before for before, after in pairwise(losses(running))][1:]
        assert min(waits) >= SHORTEST_WAIT
        before = pings(running.samples())
        proxy.corrupt = None
        found = wait_for(lambda: (s := running.samples()) and jobs(s) and s, "queues on the page")
        # a connection costs a second PING; one try may still break off
        assert pings(found) - before <= 2 * RECOVERY_POLLS
