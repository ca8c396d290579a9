"""Faults of Redis itself that it survives: it hangs, is busy or full, or lets nobody in."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import redis

from tests.support.busy_script import busy_script
from tests.support.fault_harness import Harness, scene
from tests.support.live import Written
from tests.support.pages import value
from tests.support.servers import redis_server
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("redis")
    with redis_server() as server, scene(folder, server, Written(server)) as made:
        yield made


@pytest.fixture
def admin(found: Harness) -> redis.Redis:
    client = found.server.client()
    client.ping()
    return client


def until_sync(found: Harness, success: float) -> None:
    wait_for(lambda: value(found.samples, "bullmq_sync_success") == success, "the sync test")


def test_frozen(found: Harness) -> None:
    """SIGSTOP: the kernel still accepts, nobody answers."""
    with found.fault("frozen process", "timeout") as fault:
        found.server.signal(signal.SIGSTOP)
        fault.is_seen("timeout")
        fault.outlasts_the_samples()
        found.server.signal(signal.SIGCONT)


def test_client_pause(found: Harness, admin: redis.Redis) -> None:
    with found.fault("CLIENT PAUSE", "timeout") as fault:
        admin.client_pause(5_000, all=True)
        fault.is_seen("timeout")
        fault.outlasts_the_samples()
        admin.ping()  # UNPAUSE would have to wait as well


def test_busy_script(found: Harness) -> None:
    """Redis answers BUSY once a script has run for longer than `busy-reply-threshold`."""
    with (
        found.fault("busy script", "loading") as fault,
        busy_script(found.server, threshold_ms=200),
    ):
        fault.is_seen("loading")
        fault.outlasts_the_samples()


def test_out_of_memory(found: Harness, admin: redis.Redis) -> None:
    """Queues are read all the same; what fails is written by the sync test."""
    with found.fault("OOM"):
        admin.config_set("maxmemory", 1)
        until_sync(found, 0)
        assert "OOM command not allowed" in found.running.get("/health/redis/sync").text
        wait_for(lambda: value(found.samples, "bullmq_redis_memory_max_bytes") == 1, "the limit")
        admin.config_set("maxmemory", 0)
    until_sync(found, 1)


def test_no_more_clients(found: Harness, admin: redis.Redis) -> None:
    """Who is there stays; the exporter loses its connection and is not let in again."""
    most = int(admin.config_get("maxclients")["maxclients"])
    with found.fault("maxclients reached", "connection") as fault:
        admin.config_set("maxclients", 1)
        for client in admin.client_list():
            if client["name"].startswith("bullmq-exporter:"):
                admin.client_kill_filter(_id=client["id"])
        fault.is_seen("connection")
        wait_for(lambda: "max number of clients" in fault.told()["detail"], "the reason")
        fault.outlasts_the_samples()
        admin.config_set("maxclients", most)


def test_every_job_was_counted_once(found: Harness) -> None:
    found.end()
