"""Queues are found as soon as a fault allows it, not a minute later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_discovery import add
from tests.support.daemon import daemon
from tests.support.fault_harness import config
from tests.support.pages import jobs, value
from tests.support.proxy import Proxy
from tests.support.servers import redis_server
from tests.support.waiting import wait_for

INTERVAL = 0.5
ERRORS = "bullmq_exporter_collector_errors_total"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with redis_server() as server:
        add(server.client(), "mail")
        found = Proxy(server)
        yield found
        found.close()


def test_polls_that_leave_no_time(proxy: Proxy, tmp_path: Path) -> None:
    """Three round trips without any queue, and the next poll is due before all have come."""
    proxy.delay = 0.2
    with daemon(tmp_path, config(proxy.url, INTERVAL, stale_after=8)) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")


def test_a_pass_that_broke_off_is_begun_again(proxy: Proxy, tmp_path: Path) -> None:
    proxy.corrupt = lambda data: b"\0" if b"bull:mail:meta" in data else data
    with daemon(tmp_path, config(proxy.url, INTERVAL)) as running:

        def broken() -> float:
            found = value(running.samples(), ERRORS, collector="discovery", error="protocol")
            return found or 0

        wait_for(lambda: broken() >= 2, "passes broke off")
        # a poll that works does not make light of the passes, which cost the connection each time
        assert running.log.count("REDIS lost") <= 5
        proxy.corrupt = None
        ended = time.monotonic()
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        assert time.monotonic() - ended < 2 * INTERVAL
