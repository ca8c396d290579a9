"""The sync test in the running exporter: page, metrics, log, and polls that go on."""

from __future__ import annotations

import time
from pathlib import Path

from tests.integration.test_discovery import add
from tests.support.daemon import daemon
from tests.support.pages import every, jobs, value
from tests.support.proxy import Proxy
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

FAST = """
poll: {{interval_seconds: 0.2, stale_after_seconds: 1}}
sync: {{interval_seconds: 1, timeout_seconds: 0.3}}
connections:
  api: {{url: "{api}"}}
  worker: {{url: "{worker}", connect_timeout_seconds: 1, timeout_seconds: 1}}
"""


def test_two_servers_are_caught_in_one_interval(server: Server, tmp_path: Path) -> None:
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
            assert page["age_seconds"] < 5
            difference = page["differences"][0]
            assert difference["connections"] == ["api", "worker"]
            assert {"address", "run_id"} <= set(difference["differing"])
            assert difference["same_keyspace"] is False
            found = {(p["writer"], p["reader"]): p for p in page["pairs"]}
            assert len(found) == 4
            assert found[("api", "worker")]["checks"]["set_get"]["ok"] is False
            # said once, not at every round
            line = "REDIS sync-test failed writer=api reader=worker checks=set_get,same_database"
            assert running.log.count(line) == 1


def test_one_database_passes(server: Server, tmp_path: Path) -> None:
    config = FAST.format(api=server.url, worker=server.url.replace("127.0.0.1", "localhost"))
    with daemon(tmp_path, config) as running:
        answer = wait_for(
            lambda: (a := running.get("/health/redis/sync")).status == 200 and a, "it passes"
        )
        assert answer.json["verdict"] == "every connection sees what the others write"
        assert answer.json["differences"][0]["same_keyspace"] is True
        assert set(every(running.samples(), "bullmq_sync_success").values()) == {1}
        assert len(every(running.samples(), "bullmq_sync_check_success")) == 4 * 7


def test_it_can_be_disabled(server: Server, tmp_path: Path) -> None:
    config = f'connections: {{api: {{url: "{server.url}"}}}}\nsync: {{enabled: false}}'
    with daemon(tmp_path, config) as running:
        answer = running.get("/health/redis/sync")
        assert answer.status == 404
        assert "sync.enabled: true" in answer.json["error"]
        assert not [name for name, _ in running.samples() if name.startswith("bullmq_sync")]


def test_a_dead_peer_delays_no_poll(server: Server, tmp_path: Path) -> None:
    add(server.client(), "mail")
    proxy = Proxy(server)
    proxy.hang = True
    with daemon(tmp_path, FAST.format(api=server.url, worker=proxy.url)) as running:
        name = "bullmq_exporter_collector_last_success_timestamp_seconds"

        def last_poll() -> float:
            labels = {"connection": "api", "collector": "queues"}
            return value(running.samples(), name, **labels) or 0.0

        wait_for(lambda: jobs(running.samples()), "queues on the page")
        success = "bullmq_sync_success"
        wait_for(lambda: every(running.samples(), success, writer="worker"), "a round ends")
        assert set(every(running.samples(), success, writer="worker").values()) == {0}
        assert value(running.samples(), success, writer="api", reader="api") == 1
        for _ in range(20):
            assert time.time() - last_poll() < 1
            time.sleep(0.1)
        pages = running.get("/health/redis/sync").json["pairs"]
        dead = next(p for p in pages if (p["writer"], p["reader"]) == ("api", "worker"))
        assert "worker cannot reach its Redis" in dead["verdict"]
        assert "timeout" in dead["verdict"]
    proxy.close()


def test_hidden_identities_are_told_by_what_the_test_sees(server: Server, tmp_path: Path) -> None:
    """Without INFO, two ways to one keyspace are recognised by the value that both see."""
    add(server.client(), "mail")
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
                for _, labels in every(running.samples(), "bullmq_queue_jobs")
            }
            assert owners == {"api"}
            assert running.get("/health/redis/sync").status == 200
    finally:
        server.client().acl_deluser("monitor")


def test_a_failover_is_noticed_without_a_new_connection(tmp_path: Path) -> None:
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
