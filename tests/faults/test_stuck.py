"""A poller that is stuck, which `/-/healthy` must tell: here in a resolver that never answers."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.integration.test_discovery import add
from tests.support.daemon import Daemon, daemon
from tests.support.fault_harness import CHILD, config
from tests.support.observer import Observer, percentile
from tests.support.pages import every, jobs, value
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

INTERVAL = 0.5
HUNG_AFTER = 3.0


@pytest.fixture
def server() -> Iterator[Server]:
    with valkey() as found:
        add(found.client(), "mail")
        yield found


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1")
    return file


@pytest.fixture
def running(server: Server, hosts: Path, tmp_path: Path) -> Iterator[Daemon]:
    url = f"redis://redis.test:{server.port}/0"
    env = {"TEST_HOSTS": str(hosts), "TEST_HUNG_AFTER_SECONDS": str(HUNG_AFTER)}
    # the sync test, which is stuck in the same resolver, tells nothing of the pollers
    with daemon(tmp_path, config(url, INTERVAL), PYTHONPATH=str(CHILD), **env) as found:
        wait_for(lambda: jobs(found.samples()), "queues on the page")
        yield found


def test_a_poller_that_is_stuck(server: Server, hosts: Path, running: Daemon) -> None:
    observer = Observer(running.port, running.process.pid)
    hosts.write_text("stuck")
    began = time.monotonic()
    server.client().client_kill_filter(skipme=True)
    answer = wait_for(lambda: (a := running.get("/-/healthy")).status == 503 and a, "503")
    assert answer.text.startswith("the poller of api has not finished a poll for ")
    # of the time, the last poll before it may have taken an interval
    assert HUNG_AFTER - INTERVAL < time.monotonic() - began < HUNG_AFTER + 2 * INTERVAL
    wait_for(lambda: not jobs(running.samples()), "samples are withdrawn")
    assert value(running.samples(), "bullmq_up") == 0
    wait_for(lambda: observer.looks[-1].healthy == 503, "the observer has seen it too")
    hosts.write_text("127.0.0.1")
    ended = time.monotonic()
    wait_for(lambda: jobs(running.samples()), "queues on the page")
    assert time.monotonic() - ended < 2 * INTERVAL
    wait_for(lambda: observer.looks[-1].healthy == 200, "200")
    observer.close()
    told = [status for status, _ in groupby(look.healthy for look in observer.looks)]
    assert told == [200, 503, 200]
    late = percentile([look.late for look in observer.looks], 0.95)
    assert percentile([look.seconds for look in observer.looks], 0.95) <= 0.1 + 2 * late


def test_one_that_is_stuck_before_it_has_told_anything(
    hosts: Path, running: Daemon, tmp_path: Path
) -> None:
    hosts.write_text("stuck")
    file = tmp_path / "config.yaml"
    file.write_text(file.read_text().replace("  api:", "  other:"))
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not every(running.samples(), "bullmq_up"), "a new poller")
    assert running.get("/-/healthy").status == 200
    answer = wait_for(lambda: (a := running.get("/-/healthy")).status == 503 and a, "503")
    assert answer.text.startswith("the poller of other has not finished a poll for ")
    hosts.write_text("127.0.0.1")
    wait_for(lambda: running.get("/-/healthy").status == 200, "200")
    assert value(running.samples(), "bullmq_up", connection="other") == 1
