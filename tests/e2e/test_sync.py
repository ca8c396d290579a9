"""The sync test in the running exporter: page, metrics, log, and uninterrupted polls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import daemon
from tests.support.pages import every, jobs, value
from tests.support.polls import wait_for_polls
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.servers import Server, valkey
from tests.support.waiting import LIMIT_SECONDS, wait_for

FAST = """
poll: {{interval_seconds: 0.2}}
sync: {{interval_seconds: 1, timeout_seconds: 20}}
connections:
  api: {{url: "{api}", timeout_seconds: 60}}
  worker: {{url: "{worker}", timeout_seconds: 60}}
"""


def test_two_servers_are_detected_within_one_interval(server: Server, tmp_path: Path) -> None:
    with valkey() as other:
        config = FAST.format(api=server.url, worker=other.url)
        with daemon(tmp_path, config) as running:
            name = "bullmq_sync_success"
            pair = {"writer": "api", "reader": "worker"}
            wait_for(lambda: value(running.samples(), name, **pair) == 0, "the pair fails")
            assert value(running.samples(), name, writer="api", reader="api") == 1
            check = "bullmq_sync_check_success"
            assert value(running.samples(), check, **pair, check="same_database") == 0
            wait_for(lambda: (value(running.samples(), "bullmq_sync_runs_total", **pair) or 0) > 1)
            answer = running.get("/health/redis/sync")
            assert answer.status == 503
            page = answer.json
            assert page["status"] == "failed"
            assert page["verdict"].startswith("api and worker reach different Redis servers: run_")
            assert 0 <= page["age_seconds"] < LIMIT_SECONDS
            difference = page["differences"][0]
            assert difference["connections"] == ["api", "worker"]
            assert {"address", "run_id"} <= set(difference["differing"])
            assert difference["same_keyspace"] is False
            found = {(p["writer"], p["reader"]): p for p in page["pairs"]}
            assert len(found) == 4
            assert found[("api", "worker")]["checks"]["set_get"]["ok"] is False
            # logged once, not at every round
            line = "REDIS sync-test failed writer=api reader=worker checks=set_get,same_database"
            assert running.log.count(line) == 1


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    found = Proxy(server)
    yield found
    found.close()


def test_one_database_passes_until_a_peer_hangs(
    server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    add_queues(server.client(), "mail")
    with daemon(tmp_path, FAST.format(api=server.url, worker=proxy.url)) as running:
        answer = wait_for(
            lambda: (a := running.get("/health/redis/sync")).status == 200 and a, "it passes"
        )
        assert answer.json["verdict"] == "every connection sees what the others write"
        assert answer.json["differences"][0]["same_keyspace"] is True
        # `/metrics` follows the other pages within a moment
        success = "bullmq_sync_success"
        wait_for(lambda: set(every(running.samples(), success).values()) == {1}, "the metrics")
        assert len(every(running.samples(), "bullmq_sync_check_success")) == 4 * 7

        proxy.hang = True
        wait_for(lambda: proxy.dropped, "a call without a reply")
        name = "bullmq_sync_runs_total"
        before = every(running.samples(), name)
        # at least three seconds, enough for three rounds
        wait_for_polls(running, "api", 15)
        after = every(running.samples(), name)
        # one may have been about to end; stale results are not shown
        assert all(after.get(key, count) <= count + 1 for key, count in before.items())


def test_hidden_identities_are_compared_by_the_sync_test(server: Server, tmp_path: Path) -> None:
    """Without INFO, two connections to one keyspace are recognised by the value that both see."""
    add_queues(server.client(), "mail")
    rules = ("reset", "on", ">pw", "~*", "+@all", "-info")
    server.client().execute_command("ACL", "SETUSER", "monitor", *rules)
    url = f"redis://monitor:pw@127.0.0.1:{server.port}/0"
    config = FAST.format(api=url, worker=url.replace("127.0.0.1", "localhost"))
    try:
        with daemon(tmp_path, config) as running:
            wait_for(
                lambda: value(
                    running.samples(),
                    "bullmq_connection_info",
                    connection="worker",
                    database="api",
                ),
                "worker is recognised",
            )
            wait_for(lambda: jobs(running.samples()), "queues on the page")
            owners = {
                dict(labels)["connection"]
                for _, labels in every(running.samples(), "bullmq_queue_size")
            }
            assert owners == {"api"}
            assert running.get("/health/redis/sync").status == 200
    finally:
        server.client().acl_deluser("monitor")


def test_a_failover_is_noticed_without_a_reconnect(tmp_path: Path) -> None:
    with valkey() as master:
        master.client().config_set("repl-diskless-sync-delay", 0)
        with valkey("--replicaof", "127.0.0.1", str(master.port)) as replica:
            client = replica.client()
            wait_for(lambda: client.info("replication")["master_link_status"] == "up")
            with daemon(tmp_path, FAST.format(api=master.url, worker=replica.url)) as running:
                info = "bullmq_connection_info"
                replica_of = {"connection": "worker", "database": "api", "role": "slave"}
                wait_for(lambda: value(running.samples(), info, **replica_of), "a replica")
                client.execute_command("REPLICAOF", "NO", "ONE")
                alone = {"connection": "worker", "database": "worker", "role": "master"}
                wait_for(lambda: value(running.samples(), info, **alone), "a master")
