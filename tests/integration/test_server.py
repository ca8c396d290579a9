"""Metrics of the server, from INFO and DBSIZE."""

from __future__ import annotations

import pytest

from exporter.collectors.server.info import persistence_ok, server_identity, server_values
from tests.support.pages import every, value
from tests.support.servers import REDICT, FakeServer, Server, free_port, redis_server
from tests.support.watch import Watch


def test_values_of_real_servers(real_server: Server) -> None:
    client = real_server.client()
    client.set("x", 1)
    info = client.info()
    samples = Watch(real_server.url).discover_and_poll()
    assert value(samples, "bullmq_redis_keys") == 1
    assert value(samples, "bullmq_redis_eviction_safe") == 1
    assert value(samples, "bullmq_redis_memory_max_bytes") == 0
    assert value(samples, "bullmq_redis_max_clients") == info["maxclients"]
    assert value(samples, "bullmq_redis_connected_replicas") == 0
    assert value(samples, "bullmq_redis_master_link_up") is None
    start = value(samples, "bullmq_redis_start_timestamp_seconds")
    assert start is not None
    assert abs(start - (info["server_time_usec"] / 1e6 - info["uptime_in_seconds"])) < 1.1
    labels = {
        "version": info["redis_version"],
        "mode": "standalone",
        "role": "master",
        "maxmemory_policy": "noeviction",
    }
    assert value(samples, "bullmq_redis_info", **labels) == 1


def test_redict() -> None:
    """It has fields of its own beside those of Redis."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis_server(*options, program=REDICT) as found:
        found.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        info = found.client().info()
        samples = Watch(found.url).discover_and_poll()
        assert value(samples, "bullmq_redis_info", mode="cluster", role="master") == 1
        assert server_identity(info)["software"] == f"redict {info['redict_version']}"
        assert value(samples, "bullmq_exporter_collector_success", collector="server") == 1


def test_a_server_without_info_is_still_polled(fake_server: FakeServer) -> None:
    samples = Watch(fake_server.url).discover_and_poll()
    assert value(samples, "bullmq_up") == 1
    assert not [key for key in samples if key[0].startswith("bullmq_redis_")]
    success = "bullmq_exporter_collector_success"
    assert value(samples, success, collector="server") is None
    assert value(samples, success, collector="queues") == 1


def test_an_evicting_policy_is_unsafe(server: Server) -> None:
    client = server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        samples = Watch(server.url).discover_and_poll()
        assert value(samples, "bullmq_redis_eviction_safe") == 0
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_persistence_of_a_real_server() -> None:
    with redis_server("--appendonly", "yes") as found:
        samples = Watch(found.url).discover_and_poll()
        assert value(samples, "bullmq_redis_persistence_ok", kind="aof") == 1
        assert len(every(samples, "bullmq_redis_persistence_ok")) == 1


@pytest.mark.parametrize(
    ("info", "ok"),
    [
        ({}, {}),
        ({"rdb_last_bgsave_status": "ok", "rdb_last_bgsave_time_sec": "-1"}, {}),
        ({"rdb_last_bgsave_status": "err", "rdb_last_bgsave_time_sec": "0"}, {"rdb": False}),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, {"aof": False}),
        ({"aof_enabled": "0", "aof_last_write_status": "ok"}, {}),
    ],
)
def test_persistence_from_info(info: dict[str, str], ok: dict[str, bool]) -> None:
    assert persistence_ok(info) == ok


def test_hidden_values_are_omitted() -> None:
    assert server_values({"used_memory": "x", "role": "master"}) == {}
    assert server_identity({})["maxmemory_policy"] == ""


def test_link_of_a_replica() -> None:
    values = server_values({"role": "slave", "master_link_status": "down"})
    assert values == {"master_link_up": 0.0}


def test_software_and_compatible_version() -> None:
    redict = {"redict_version": "7.3.1", "redict_mode": "cluster"}
    assert server_identity(redict)["software"] == "redict 7.3.1"
    assert server_identity(redict)["version"] == "7.3.1"
    assert server_identity(redict)["mode"] == "cluster"
    info = {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}
    assert server_identity(info)["version"] == "7.2.4"
    assert server_identity(info)["software"] == "valkey 9.1.2"
