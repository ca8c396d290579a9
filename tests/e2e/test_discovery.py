"""New queues are found before the next walk: by their workers, and when somebody asks."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.pages import jobs, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

CONFIG = """
connections: {{api: {{url: "{url}"}}}}
poll: {{interval_seconds: 0.2}}
queues: {{discovery_interval_seconds: 86400}}
web: {{enable_lifecycle: {lifecycle}}}
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with valkey() as server:
        add_queues(server.client(), "first")
        yield server


@pytest.fixture(scope="module")
def running(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = CONFIG.format(url=redis.url, lifecycle="true")
    with daemon(tmp_path_factory.mktemp("discovery"), config) as running:
        wait_for(lambda: "first" in names(running), "the first walk")
        yield running


def names(running: Daemon) -> set[str]:
    return {queue for queue, _ in jobs(running.samples())}


def walks(running: Daemon) -> float:
    return value(running.samples(), "bullmq_exporter_discovery_redis_seconds_total") or 0.0


def test_a_queue_with_a_worker_needs_no_walk(redis: Server, running: Daemon) -> None:
    before = walks(running)
    encoded = base64.b64encode(b"with-worker").decode()
    worker = redis.client(client_name=f"bull:{encoded}")
    worker.ping()
    add_queues(redis.client(), "with-worker", "without")
    wait_for(lambda: "with-worker" in names(running), "the queue")
    assert "without" not in names(running)
    assert walks(running) == before
    worker.close()


def test_a_worker_without_a_queue_is_not_shown(redis: Server, running: Daemon) -> None:
    encoded = base64.b64encode(b"nothing").decode()
    worker = redis.client(client_name=f"bull:{encoded}")
    worker.ping()
    add_queues(redis.client(), "another")
    other = redis.client(client_name=f"bull:{base64.b64encode(b'another').decode()}")
    other.ping()
    wait_for(lambda: "another" in names(running), "the queue with keys")
    assert "nothing" not in names(running)
    worker.close()
    other.close()


def test_a_walk_can_be_asked_for(redis: Server, running: Daemon) -> None:
    add_queues(redis.client(), "asked")
    answer = running.get("/-/discover", method="POST")
    assert (answer.status, answer.text) == (202, "discovery starts at the next poll\n")
    wait_for(lambda: "asked" in names(running), "the queue")
    add_queues(redis.client(), "signalled")
    running.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: "signalled" in names(running), "the queue")


def test_asking_is_refused_to_other_sites(running: Daemon) -> None:
    answer = running.get("/-/discover", method="POST", origin="https://elsewhere.example")
    assert answer.status == 403


def test_asking_needs_the_lifecycle_setting(redis: Server, running: Daemon) -> None:
    folder = running.log_file.parent / "off"
    folder.mkdir()
    with daemon(folder, CONFIG.format(url=redis.url, lifecycle="false")) as off:
        answer = off.get("/-/discover", method="POST")
    assert answer.status == 403
    assert answer.text == "not enabled; set web.enable_lifecycle: true or send SIGUSR1\n"
