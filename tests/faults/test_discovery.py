"""Queues are discovered as soon as a fault permits, not a minute later."""

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
"""Shortest seconds between two losses: a quarter, shortened at random by up to a half."""
ERRORS = "bullmq_exporter_collector_errors_total"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with redis_server() as server:
        add_queues(server.client(), "mail")
        found = Proxy(server)
        yield found
        found.close()


def losses(running: Daemon) -> list[float]:
    """Unix times at which the exporter lost its connection, from its log."""
    lines = [line for line in running.log.splitlines() if " REDIS lost " in line]
    return [datetime.fromisoformat(line.split()[0]).timestamp() for line in lines]


def test_queues_are_found_if_polls_take_all_the_time(proxy: Proxy, tmp_path: Path) -> None:
    """A poll without queues takes three round trips, longer than the interval."""
    proxy.delay = 0.2
    with daemon(tmp_path, config(proxy.url, INTERVAL, stale_after=30)) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")


def test_an_interrupted_pass_is_repeated_with_back_off(proxy: Proxy, tmp_path: Path) -> None:
    proxy.corrupt = lambda data: b"\0" if b"bull:mail:meta" in data else data
    with daemon(tmp_path, config(proxy.url, INTERVAL)) as running:

        def broken() -> float:
            found = value(running.samples(), ERRORS, collector="discovery", error="protocol")
            return found or 0

        wait_for(lambda: broken() >= 3, "failed passes")
        # each pass loses the connection, and a successful poll does not reset the back-off: the
        # second try follows at once, every later one waits
        waits = [after - before for before, after in pairwise(losses(running))][1:]
        assert min(waits) >= SHORTEST_WAIT
        before = pings(running.samples())
        proxy.corrupt = None
        found = wait_for(lambda: (s := running.samples()) and jobs(s) and s, "queues on the page")
        # each connect sends one more PING; one try may still be interrupted
        assert pings(found) - before <= 2 * RECOVERY_POLLS
