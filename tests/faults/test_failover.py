"""The address of Redis leads to another server, which may still be a replica."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.fault_harness import Harness, harness
from tests.support.live import Written
from tests.support.pages import every, value
from tests.support.proxy import Proxy
from tests.support.servers import Server, redis_server
from tests.support.waiting import wait_for

INFO = "bullmq_connection_info"
SYNC = "bullmq_sync_success"
OTHER_HOST = "127.0.0.2"


def replicate(replica: Server, master: Server) -> None:
    client = replica.client()
    client.replicaof(master.host, master.port)
    wait_for(
        lambda: client.info("replication")["master_link_status"] == "up", "the replica follows"
    )


def test_read_only_after_a_failover(tmp_path: Path, idle: Daemon) -> None:
    """Queues are read; the sync test reports that writes are refused."""
    with redis_server() as master, redis_server() as replica:
        replicate(replica, master)
        proxy, live = Proxy(master), Written(master, replicas=1)
        with harness(tmp_path, idle, master, live, url=proxy.url) as found:
            with found.fault("read-only after a failover", "connection"):
                master.kill()
                found.server = live.server = replica
                live.replicas = 0
                proxy.target = replica.port
                _reads_a_replica(found)
                replica.client().replicaof("NO", "ONE")
            wait_for(lambda: value(found.samples, SYNC) == 1, "it can be written")
            assert value(found.samples, INFO, role="master") == 1
            found.end()
        proxy.close()


def _reads_a_replica(found: Harness) -> None:
    wait_for(lambda: value(found.samples, INFO, role="slave") == 1, "a replica is read")
    path = "/health/redis/sync"
    wait_for(lambda: "READONLY" in found.running.get(path).text, "the sync test's reason")
    wait_for(lambda: value(found.samples, SYNC) == 0, "the sync test fails")
    # workers are connected to the master, so they are unknown here
    wait_for(lambda: not every(found.samples, "bullmq_queue_workers"), "workers")
    assert value(found.samples, "bullmq_up") == 1


def test_an_unknown_host_name_and_a_changed_address(tmp_path: Path, idle: Daemon) -> None:
    """The name is resolved at each connect, by a resolver that the test controls."""
    hosts = tmp_path / "hosts"
    with redis_server() as master, redis_server(host=OTHER_HOST, port=master.port) as replica:
        replicate(replica, master)
        hosts.write_text(master.host)
        live = Written(master, replicas=1)
        url = f"redis://redis.test:{master.port}/0"
        with harness(tmp_path, idle, master, live, url=url, TEST_HOSTS=str(hosts)) as found:
            with found.fault("DNS: name unknown", "connection") as fault:
                hosts.write_text("unknown")
                _disconnect(master)
                fault.wait_until_reported("connection")
                wait_for(lambda: "Name or service" in str(fault.last_error()), "the reason")
                fault.wait_until_stale()
                hosts.write_text(master.host)
            with found.fault("DNS: another address", "connection") as fault:
                master.kill()
                replica.client().replicaof("NO", "ONE")
                found.server = live.server = replica
                live.replicas = 0
                fault.wait_until_reported("connection")
                hosts.write_text(replica.host)
            found.end()


def _disconnect(server: Server) -> None:
    client = server.client()
    for known in client.client_list():
        if known["name"] == "bullmq-exporter:api":
            client.client_kill_filter(_id=known["id"])
