"""The published ACLs are sufficient, and each missing command is reported by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from exporter.check.model import Outcome
from exporter.check.permissions import PERMISSIONS, permissions_step
from exporter.collectors import SYNC_COMMANDS, SyncTest
from exporter.config.models import Connection
from exporter.config.secret import Secret
from exporter.connection import Client, ErrorClass, RedisFailure, open_client
from exporter.views.moment import moment_of
from exporter.views.overview import overview
from exporter.views.queues_table import table
from exporter.web.background import Background
from exporter.web.status.page import StatusPage
from exporter.web.status.query import Query
from tests.support.acl import commands_of, published_acls
from tests.support.pages import every
from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.watch import Watch, config_for

WITH_SYNC, WITHOUT = published_acls()
# tests/e2e/test_cluster.py tests those that are sent only to clusters
ON_CLUSTERS = {use.name for use in PERMISSIONS if use.cluster}
ON_SERVERS = sorted(commands_of(WITHOUT) - ON_CLUSTERS - {"auth", "select"})
SYNC = sorted(command.acl_name for command in SYNC_COMMANDS)


def settings(url: str, db: int = 0) -> Connection:
    known = config_for(url).connections["default"]
    as_user = replace(known.url, username="monitor", password=Secret("password"), db=db)
    return known.model_copy(update={"url": as_user})


def allow(server: Server, rules: Sequence[str]) -> Connection:
    server.client().execute_command("ACL", "SETUSER", "monitor", "reset", "on", ">password", *rules)
    return settings(server.url)


def refused(client: Client) -> object:
    client.connect()
    try:
        step = permissions_step(client, ("bull",))
    finally:
        client.close()
    assert step.outcome is (Outcome.WARNING if step.data else Outcome.OK)
    return step.data.get("refused", {})


@pytest.mark.parametrize("rules", [WITH_SYNC, WITHOUT], ids=["with the sync test", "without"])
def test_the_published_acl_is_sufficient(redis7_server: Server, rules: list[str]) -> None:
    assert refused(open_client(allow(redis7_server, rules), "default")) == {}


@pytest.mark.parametrize("command", ON_SERVERS)
def test_a_missing_command_is_named(redis7_server: Server, command: str) -> None:
    allowed = allow(redis7_server, [*WITHOUT, f"-{command}"])
    (use,) = [use for use in PERMISSIONS if use.name == command]
    assert refused(open_client(allowed, "default")) == {command: use.cost}


@pytest.mark.parametrize("command", SYNC)
def test_a_missing_command_of_the_sync_test_is_named(redis7_server: Server, command: str) -> None:
    allowed = allow(redis7_server, [*WITH_SYNC, f"-{command}"])
    config = config_for(redis7_server.url)
    (pair,) = SyncTest({"default": allowed}, config.sync).run().pairs
    assert (pair.passed, pair.not_permitted) == (None, command)


def test_missing_select_is_a_permission_error(redis7_server: Server) -> None:
    allow(redis7_server, [*WITHOUT, "-select"])
    with pytest.raises(RedisFailure, match="'select'") as caught:
        open_client(settings(redis7_server.url, db=1), "default").connect()
    assert caught.value.kind is ErrorClass.PERMISSION


def test_servers_always_permit_auth(redis7_server: Server) -> None:
    """AUTH is listed only for completeness; every user may send it."""
    assert refused(open_client(allow(redis7_server, [*WITHOUT, "-auth"]), "default")) == {}


UNKNOWN_WITHOUT = {
    "hexists": ("bullmq_queue_paused",),
    "hmget": ("bullmq_queue_concurrency_limit", "bullmq_queue_info"),
    "pttl": ("bullmq_queue_rate_limit_remaining_seconds",),
}


@pytest.mark.parametrize("refused", UNKNOWN_WITHOUT)
def test_values_of_a_refused_command_are_unknown(server: Server, refused: str) -> None:
    """Not "not paused", "no limit" or an empty version, on any page."""
    client = server.client()
    add_queues(client, "mail")
    settings = {"paused": 1, "concurrency": 3, "max": 5, "version": "bullmq:5.1.0"}
    client.hset("bull:mail:meta", mapping=settings)
    client.set("bull:mail:limiter", 7, px=600_000)
    rules = ("limited", "reset", "on", ">pass", "~*", "+@all", f"-{refused}")
    client.execute_command("ACL", "SETUSER", *rules)
    watch = Watch(server.url.replace("://", "://limited:pass@"))
    samples = watch.discover_and_poll()
    for command, families in UNKNOWN_WITHOUT.items():
        shown = [len(every(samples, family)) for family in families]
        assert shown == [int(command != refused)] * len(families), command
    views = overview(moment_of(watch.store, watch.config)).queues
    known = refused != "hexists"
    assert [view.paused for view in views] == [True if known else None]
    word = "paused" if known else "paused: ?"
    assert f"mail ({word})" in table(views)[1][0]
    page = StatusPage(Background(lambda: watch.config, watch.store)).write(Query()).decode()
    assert f'<span class="tag">{word}</span>' in page
