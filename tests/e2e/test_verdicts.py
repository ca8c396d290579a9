"""Incidents in which a monitor may say that all is well: each surface names them, as alerts do."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.acl import published_acls
from tests.support.command import command
from tests.support.daemon import Daemon, daemon
from tests.support.prometheus import Prometheus, prometheus
from tests.support.redis_data import add_queues
from tests.support.servers import Server, free_port, valkey
from tests.support.verdicts import disagreement, found_by_prometheus
from tests.support.waiting import wait_for

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Incident:
    """What is wrong, and which alerts it causes."""

    alerts: set[str]
    """The findings; others may be symptoms of these."""
    prepare: Callable[[Server], None]
    headline: str
    """How the verdict begins."""
    check_fails: bool = False
    """Whether `check` exits with 1: it tests connections, not queues."""
    status: str = "critical"
    user: str = ""
    """Credentials in the URL."""
    down: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def no_worker(server: Server) -> None:
    """145 jobs, added eleven minutes ago, and no worker."""
    client, added = server.client(), int(time.time() * 1000) - 11 * 60_000
    add_queues(client, "mail")
    client.delete("bull:mail:wait")
    for job in range(1, 146):
        client.rpush("bull:mail:wait", job)
        client.hset(f"bull:mail:{job}", "timestamp", added)


def full_and_late(server: Server) -> None:
    """Memory at more than 85 %, no worker, a scheduler and a delayed job three hours late."""
    client, now = server.client(), int(time.time() * 1000)
    add_queues(client, "mail")
    due = now - 3 * HOUR_MS
    client.zadd("bull:mail:delayed", {"2": due * 0x1000})
    client.hset("bull:mail:2", "timestamp", due)
    client.zadd("bull:mail:repeat", {"daily": due})
    client.hset("bull:mail:repeat:daily", mapping={"name": "daily", "every": 60_000})
    client.hset(f"bull:mail:repeat:daily:{due}", "timestamp", due)
    client.setrange("other", 50_000_000, "x")  # else connections take the rest of the memory
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", int(used / 0.9))
    client.config_set("maxmemory-policy", "noeviction")


def nothing(_: Server) -> None:
    """No data."""


def another_prefix(server: Server) -> None:
    add_queues(server.client(), "mail", prefix="jobs")


def refused(command_name: str) -> Callable[[Server], None]:
    """The documented user without one command."""

    def prepare(server: Server) -> None:
        client = server.client()
        add_queues(client, "mail")
        rules = [rule for rule in published_acls()[0] if rule != f"+{command_name}"]
        client.execute_command("ACL", "SETUSER", "monitor", "on", ">password", *rules)

    return prepare


INCIDENTS = {
    "old_jobs": Incident({"NoWorkers"}, no_worker, "No worker connected: bull:mail on old_jobs"),
    "late": Incident(
        {"NoWorkers", "RedisMemoryNearLimit"}, full_and_late, "No worker connected: bull:mail"
    ),
    "down": Incident(
        {"RedisUnreachable"}, nothing, "Redis unreachable: down", check_fails=True, down=True
    ),
    "empty": Incident({"NoQueuesFound"}, another_prefix, "No queues found", status="warning"),
    "no_llen": Incident(
        {"CommandsRefused"},
        refused("llen"),
        "Redis refuses commands: queues of no_llen",
        status="warning",
        user="monitor:password@",
    ),
    "no_scan": Incident(
        {"DiscoveryRefused"},
        refused("scan"),
        "Queues cannot be discovered: no_scan",
        check_fails=True,
        user="monitor:password@",
    ),
}


@dataclass(frozen=True)
class Place:
    """An exporter that watches one incident."""

    exporter: Daemon
    config: Path

    def get(self, path: str) -> Any:
        return self.exporter.get(path).json


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """The incidents, each with an exporter whose only connection has its name."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name, incident in INCIDENTS.items():
            folder = tmp_path_factory.mktemp(name)
            port = free_port()
            if not incident.down:
                server = stack.enter_context(valkey())
                incident.prepare(server)
                port = server.port
            url = f"redis://{incident.user}127.0.0.1:{port}/0"
            options = {"connections": {name: {"url": url}}, "poll": {"interval_seconds": 1}}
            text = yaml.safe_dump(options | dict(incident.options))
            exporter = stack.enter_context(daemon(folder, text))
            found[name] = Place(exporter, folder / "config.yaml")
        yield found


@pytest.fixture(scope="module")
def asked(
    places: dict[str, Place], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    ports = [place.exporter.port for place in places.values()]
    with prometheus(tmp_path_factory.mktemp("prometheus"), {"bullmq": ports}) as running:
        yield running


def alerts(health: Mapping[str, Any]) -> set[str]:
    return {each["alert"].removeprefix("BullMQ") for each in health["findings"] if each["alert"]}


@pytest.mark.parametrize("name", INCIDENTS)
class TestIncidents:
    def test_the_first_verdict_after_the_start(self, places: dict[str, Place], name: str) -> None:
        """Facts are judged at the first poll; nothing has to be watched to see them."""
        incident, place = INCIDENTS[name], places[name]
        health = wait_for(lambda: judged(place), "the connection was polled")
        assert alerts(health) == incident.alerts
        assert health["status"] == incident.status
        assert health["verdict"].startswith(incident.headline)

    def test_prometheus_agrees(
        self, places: dict[str, Place], asked: Prometheus, name: str
    ) -> None:
        """Every alert's expression is true for what is found, and for nothing else."""

        def agree() -> bool:
            return not disagreement(places[name].get("/health/queues"), asked, connection=name)

        wait_for(agree, f"{found_by_prometheus(asked)} {places[name].get('/health/queues')}")

    def test_every_surface_says_the_same(self, places: dict[str, Place], name: str) -> None:
        incident, place = INCIDENTS[name], places[name]
        health = wait_for(lambda: judged(place), "the connection was polled")
        for path in ("/health/queues", "/health/redis"):
            assert alerts(place.get(path)) == incident.alerts
        assert f">{health['verdict']}<" in place.exporter.get("/").text
        once = command("queues", "--once", "--json", "--config", str(place.config))
        assert alerts(json.loads(once.stdout)) == incident.alerts
        last = command("queues", "--once", "--config", str(place.config)).stdout.splitlines()[-1]
        assert last.startswith(incident.headline)

    def test_check_names_it(self, places: dict[str, Place], name: str) -> None:
        done = command("check", "--config", str(places[name].config))
        assert done.returncode == int(INCIDENTS[name].check_fails)
        last = done.stdout.splitlines()[-1]
        assert last.startswith("NOT OK") if INCIDENTS[name].check_fails else "; but " in last


def judged(place: Place) -> Any:
    """The health of the queues, once the connection was polled and its keys were searched."""
    health = place.get("/health/queues")
    return None if health["verdict"].startswith(("Starting", "Discovering")) else health
