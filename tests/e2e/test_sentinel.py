"""Sentinels: the exporter finds the master, and follows a failover."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import command
from tests.support.daemon import Daemon, daemon
from tests.support.pages import jobs, value
from tests.support.redis_data import add_queues
from tests.support.sentinels import MASTER, SentinelGroup, sentinel_group
from tests.support.waiting import wait_for

PASSWORD = "0f-the-sentinels"
DATA_PASSWORD = "0f-the-data"
ABSENT = ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.fixture(scope="module")
def steady() -> Iterator[SentinelGroup]:
    """A group that tests do not change."""
    with sentinel_group(PASSWORD, DATA_PASSWORD) as group:
        yield group


@pytest.fixture
def group() -> Iterator[SentinelGroup]:
    """A group for tests that fail over."""
    with sentinel_group(PASSWORD, DATA_PASSWORD) as group:
        add_queues(group.client(group.master), "mail")
        yield group


def config(folder: Path, nodes: list[str], master: str = MASTER) -> str:
    (folder / "password").write_text(PASSWORD)
    return f"""
connections:
  api:
    url: "redis://:{DATA_PASSWORD}@{master}/0"
    sentinel: {{master: {master}, nodes: {json.dumps(nodes)}, password_file: {folder}/password}}
poll: {{interval_seconds: 0.25}}
sync: {{interval_seconds: 1}}
"""


def reached(running: Daemon) -> str:
    """The address of the server that is polled; empty if none is."""
    api = running.get("/health/redis").json["connections"]["api"]
    return str(api["metadata"]["address"]) if api["status"] == "up" else ""


def events(running: Daemon) -> float:
    return value(running.samples(), "bullmq_queue_jobs_added_total", queue="mail") or 0


def add_event_to_master(group: SentinelGroup, port: int) -> None:
    """Write a job's event to the current master."""
    server = group.master if group.master.port == port else group.replica
    group.client(server).xadd("bull:mail:events", {"event": "added", "jobId": "1", "name": "n"})


def test_a_failover_is_followed(group: SentinelGroup, tmp_path: Path) -> None:
    with daemon(tmp_path, config(tmp_path, group.nodes)) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        assert reached(running) == f"127.0.0.1:{group.master.port}"
        metadata = running.get("/health/redis").json["connections"]["api"]["metadata"]
        assert metadata["sentinel"] in group.nodes
        add_event_to_master(group, group.master.port)
        wait_for(lambda: events(running) == 1, "the event is counted")
        group.client(group.master).wait(1, 1000)
        before = running.samples()

        group.master.kill()
        wait_for(lambda: "REDIS lost " in running.log, "the loss is seen")
        wait_for(lambda: group.reported_master() == group.replica.port, "the sentinels' decision")
        address = f"127.0.0.1:{group.replica.port}"
        wait_for(lambda: reached(running) == address, "the new master is polled")
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        assert events(running) == 1
        add_event_to_master(group, group.replica.port)
        wait_for(lambda: events(running) == 2, "counting continues")
        after = running.samples()
        assert value(after, "bullmq_connection_info", role="master") == 1
        run_ids = [
            {dict(key[1])["run_id"] for key in page if key[0] == "bullmq_connection_info"}
            for page in (before, after)
        ]
        assert run_ids[0] != run_ids[1]
        assert value(after, "bullmq_connection_reconnects_total") == 1
        assert jobs(after) == jobs(before)
        wait_for(lambda: running.get("/health/redis/sync").status == 200, "sync passes")
        assert PASSWORD not in running.log
        assert DATA_PASSWORD not in running.log


def test_a_demoted_master_is_left(group: SentinelGroup, tmp_path: Path) -> None:
    with daemon(tmp_path, config(tmp_path, group.nodes)) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        group.fail_over()
        wait_for(lambda: group.reported_master() == group.replica.port, "the sentinels' decision")
        address = f"127.0.0.1:{group.replica.port}"
        wait_for(lambda: reached(running) == address, "the new master is polled")
        assert value(running.samples(), "bullmq_connection_info", role="master") == 1


def test_a_demotion_is_noticed_although_the_connection_stays_open(
    group: SentinelGroup, tmp_path: Path
) -> None:
    """Sentinels disconnect the clients of a demoted master; REPLICAOF by hand does not."""
    with daemon(tmp_path, config(tmp_path, group.nodes)) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        group.client(group.master).replicaof("127.0.0.1", group.replica.port)
        # the sync test may notice it first, and says so in other words
        wait_for(lambda: "error=readonly" in running.log, "the poller notices the demotion")
        assert "is a replica" in running.log


@pytest.fixture(scope="module")
def lost(steady: SentinelGroup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter whose connections get no master from the sentinels, for various reasons."""
    folder = tmp_path_factory.mktemp("lost")
    (folder / "right").write_text(PASSWORD)
    (folder / "wrong").write_text("wr0ng")

    def connection(master: str, nodes: list[str], password: str) -> dict[str, Any]:
        sentinel = {"master": master, "nodes": nodes, "password_file": str(folder / password)}
        return {"url": f"redis://{master}/0", "sentinel": sentinel}

    connections = {
        "unknown": connection("other", steady.nodes, "right"),
        "absent": connection(MASTER, ABSENT, "right"),
        "locked": connection(MASTER, steady.nodes, "wrong"),
    }
    # JSON is YAML
    with daemon(folder, json.dumps({"connections": connections})) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("unknown", "protocol", "does not know the master other; check sentinel.master"),
        ("absent", "connection", "Connection refused"),
        ("locked", "auth", "invalid username-password pair"),
    ],
)
def test_errors_if_sentinels_return_no_master(
    steady: SentinelGroup, lost: Daemon, name: str, error: str, message: str
) -> None:
    def tried() -> dict[str, Any] | None:
        found: dict[str, Any] = lost.get("/health/redis").json["connections"][name]
        return None if found["status"] == "starting" else found

    found = wait_for(tried, "a try")
    assert found["status"] == "down"
    assert found["last_error"]["error"] == error
    nodes = ABSENT if name == "absent" else steady.nodes
    master = "other" if name == "unknown" else MASTER
    detail = found["last_error"]["detail"]
    assert f"no sentinel reports the master {master}: {nodes[0]}: " in detail
    assert detail.count(message) == len(nodes)
    assert "wr0ng" not in lost.log


def test_the_url_of_a_sentinel_names_the_remedy(steady: SentinelGroup) -> None:
    """Its port is in many URLs by mistake; it has no keys, and refuses most commands."""
    url = f"redis://:{PASSWORD}@{steady.nodes[0]}/0"
    cause = f"{steady.nodes[0]} is a sentinel, not a Redis with queues; set sentinel.master"
    last = command("check", REDIS_URL=url).stdout.splitlines()[-1]
    assert last.startswith(f"NOT OK: default fails at login: protocol: {cause}")
    assert cause in command("queues", "--once", REDIS_URL=url).stderr


def test_check_shows_the_sentinels(steady: SentinelGroup, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config(tmp_path, ["127.0.0.1:1", *steady.nodes[:1]]))
    done = command("check", "--config", str(file))
    assert done.returncode == 0, done.stdout
    named = f"{steady.nodes[0]}: master {MASTER} is 127.0.0.1:{steady.master.port}"
    assert named in done.stdout
    assert "warn  sentinel       127.0.0.1:1: " in done.stdout

    file.write_text(config(tmp_path, steady.nodes, "other"))
    done = command("check", "--config", str(file))
    assert done.returncode == 1
    assert "NOT OK: api fails at sentinel: no sentinel reports the master other" in done.stdout
    assert DATA_PASSWORD not in done.stdout + done.stderr
