"""`/-/healthy` reports a poller that hangs, here in a resolver that never replies."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.fault_harness import CHILD, RECOVERY_POLLS, TIMEOUT, config
from tests.support.observer import Observer, polls, slow
from tests.support.pages import every, jobs, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

INTERVAL = 0.5
HUNG_AFTER = 5


@pytest.fixture
def server() -> Iterator[Server]:
    with valkey() as found:
        add_queues(found.client(), "mail")
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
    # the sync test hangs in the same resolver, but does not affect the pollers
    with daemon(tmp_path, config(url, INTERVAL), PYTHONPATH=str(CHILD), **env) as found:
        wait_for(lambda: jobs(found.samples()), "queues on the page")
        yield found


def reported_silence(running: Daemon, connection: str) -> int:
    """Wait until `/-/healthy` reports a silent poller. Returns the reported seconds."""
    answer = wait_for(lambda: (a := running.get("/-/healthy")).status == 503 and a, "503")
    match = re.fullmatch(
        rf"the poller of {connection} has not finished a poll for (\d+) s\n", answer.text
    )
    assert match, answer.text
    return int(match[1])


def test_a_hanging_poller_is_reported(
    server: Server, hosts: Path, running: Daemon, idle: Daemon
) -> None:
    observer = Observer(running, idle)
    wait_for(lambda: len(observer.observations) > 10, "observations before")
    hosts.write_text("stuck")
    began = time.monotonic()
    server.client().client_kill_filter(skipme=True)
    assert reported_silence(running, "api") >= HUNG_AFTER
    wait_for(lambda: not jobs(observer.observations[-1].samples), "samples are withdrawn")
    assert value(observer.observations[-1].samples, "bullmq_up") == 0
    wait_for(lambda: observer.observations[-1].healthy == 503, "it is observed too")
    hosts.write_text("127.0.0.1")
    ended = time.monotonic()
    wait_for(lambda: jobs(observer.observations[-1].samples), "queues on the page")
    assert polls(observer.since(ended)) <= RECOVERY_POLLS
    wait_for(lambda: observer.observations[-1].healthy == 200, "200")
    observer.close()
    assert not observer.failures
    statuses = [status for status, _ in groupby(each.healthy for each in observer.observations)]
    assert statuses == [200, 503, 200]
    during = [each for each in observer.since(began) if each.at <= ended]
    assert list(slow(during, TIMEOUT)) == []


def test_a_poller_that_hangs_before_its_first_poll_is_reported(
    hosts: Path, running: Daemon, tmp_path: Path
) -> None:
    hosts.write_text("stuck")
    file = tmp_path / "config.yaml"
    file.write_text(file.read_text().replace("  api:", "  other:"))
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not every(running.samples(), "bullmq_up"), "a new poller")
    assert reported_silence(running, "other") >= HUNG_AFTER
    hosts.write_text("127.0.0.1")
    wait_for(lambda: running.get("/-/healthy").status == 200, "200")
    wait_for(lambda: value(running.samples(), "bullmq_up", connection="other") == 1, "bullmq_up 1")


def test_the_exporter_stops_although_the_resolver_hangs(hosts: Path, tmp_path: Path) -> None:
    """Poller and sync test both wait for the resolver forever."""
    hosts.write_text("stuck")
    env = {"TEST_HOSTS": str(hosts), "PYTHONPATH": str(CHILD)}
    with daemon(tmp_path, config("redis://redis.test:6379", INTERVAL), **env) as running:
        assert running.stop() == 0
        assert running.log.splitlines()[-1].endswith(" stopped")
