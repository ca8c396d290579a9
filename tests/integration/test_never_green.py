"""No refused command makes the verdict of an incident green."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from exporter.check.permissions import PERMISSIONS
from exporter.findings import Status, Verdict, verdict_of
from exporter.views.moment import moment_of
from tests.support.acl import commands_of, published_acls
from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.watch import Watch

RULES = published_acls()[1]
ON_CLUSTERS = {use.name for use in PERMISSIONS if use.cluster}
# without these two, logging in is impossible
COMMANDS = sorted(commands_of(RULES) - ON_CLUSTERS - {"auth", "select"})
HOUR_MS = 3_600_000


@pytest.fixture
def old_jobs(server: Server) -> Server:
    """A queue without workers, with jobs that have been ready or active for an hour."""
    client, then = server.client(), int(time.time() * 1000) - HOUR_MS
    add_queues(client, "mail")
    client.rpush("bull:mail:wait", 2)
    client.rpush("bull:mail:active", 3)
    client.zadd("bull:mail:delayed", {"4": then * 0x1000})
    for job in range(1, 5):
        client.hset(f"bull:mail:{job}", mapping={"timestamp": then, "processedOn": then})
    return server


@pytest.fixture
def full(server: Server) -> Iterator[Server]:
    """A server with an idle queue and hardly any memory left."""
    client = server.client()
    add_queues(client, "mail")
    client.delete("bull:mail:wait")
    client.setrange(
        "other", 50_000_000, "x"
    )  # otherwise connections would use the rest of the memory
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.9))
    yield server
    client.config_set("maxmemory", 0)


def verdict_without(server: Server, *commands: str) -> Verdict:
    rules = [rule for rule in RULES if rule[1:] not in commands]
    server.client().execute_command("ACL", "SETUSER", "monitor", "reset", "on", ">password", *rules)
    watch = Watch(server.url.replace("redis://", "redis://monitor:password@"))
    watch.discover_and_poll()
    return verdict_of(moment_of(watch.store, watch.config))


def test_the_incident_is_critical_with_all_commands(old_jobs: Server) -> None:
    assert verdict_without(old_jobs).status is Status.CRITICAL


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("incident", ["old_jobs", "full"])
def test_not_green_without_any_command(
    request: pytest.FixtureRequest, incident: str, command: str
) -> None:
    assert not verdict_without(request.getfixturevalue(incident), command).ok


def test_not_green_without_two_commands(old_jobs: Server) -> None:
    """Each with its next and its seventh neighbour in the alphabet."""
    number = len(COMMANDS)
    pairs = [(COMMANDS[n], COMMANDS[(n + k) % number]) for n in range(number) for k in (1, 7)]
    for pair in pairs:
        assert not verdict_without(old_jobs, *pair).ok, pair
