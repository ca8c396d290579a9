"""A real cluster, polled by hand: no false value while slots move and masters fail."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import replace
from typing import NoReturn

import pytest
import redis
from redis.crc import key_slot

from exporter.collectors import Context, Discovery
from exporter.config.models import Queues
from exporter.connection import (
    ONE_NODE,
    ClientRegistry,
    ErrorClass,
    RedisFailure,
    Reply,
    pack,
)
from exporter.connection.node import NodeClient
from exporter.findings import Status, verdict_of
from exporter.views.moment import moment_of
from tests.support.cluster import Cluster
from tests.support.keyspaces import expected_jobs, keyspace, load_keyspace
from tests.support.pages import Samples, every, jobs, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server, free_port, redis_server, valkey
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import wait_for
from tests.support.watch import Watch, config_for, patient

QUEUES = [f"{{{tag}}}" for tag in "abcdefgh"]
SLOT = key_slot(b"{a}")


@pytest.fixture
def filled(nodes: Cluster) -> Cluster:
    """A cluster with a queue under each tag; each queue has waiting jobs and events."""
    client = nodes.client()
    add_queues(client, *QUEUES)
    for queue in QUEUES:
        client.rpush(f"bull:{queue}:wait", 2, 3)
        client.hset(f"bull:{queue}:1", "timestamp", 1)
        event(client, queue)
    return nodes


def event(client: redis.RedisCluster | redis.Redis, queue: str) -> None:
    fields = {"event": "added", "jobId": "1", "name": "n"}
    client.xadd(f"bull:{queue}:events", fields)


def waiting(samples: Samples) -> dict[str, int]:
    return {queue: n for (queue, state), n in jobs(samples).items() if state == "waiting"}


def added(samples: Samples) -> dict[str, float]:
    found = every(samples, "bullmq_queue_jobs_added_total")
    return {dict(labels)["queue"]: count for (_, labels), count in found.items()}


OFTEN = 1e-6
"""A `discovery_interval_seconds` for which each `discover_and_poll` runs a pass."""
ALL_WAIT = dict.fromkeys(QUEUES, 3)


@pytest.mark.parametrize("name", ["bullmq-6.7.0", "bullmq-3.16.2", "bull-4.16.5"])
def test_counts_equal_bullmqs_own(nodes: Cluster, name: str) -> None:
    captured = keyspace(name)
    load_keyspace(nodes.client(), captured)
    samples = Watch(nodes.url, cluster=True, prefixes=(captured["prefix"],)).discover_and_poll()
    expected = expected_jobs(captured)
    assert {key: jobs(samples)[key] for key in expected} == expected


def test_a_cluster_shows_the_same_as_one_server(filled: Cluster, server: Server) -> None:
    add_queues(server.client(), *QUEUES)
    for queue in QUEUES:
        server.client().rpush(f"bull:{queue}:wait", 2, 3)
        server.client().hset(f"bull:{queue}:1", "timestamp", 1)
        server.client().xadd(f"bull:{queue}:events", {"event": "x"})
    one = Watch(server.url).discover_and_poll()
    many = Watch(filled.url, cluster=True).discover_and_poll()

    def queues(samples: Samples) -> set[object]:
        return {key for key in samples if "queue" in dict(key[1])}

    assert queues(many) == queues(one)
    assert waiting(many) == waiting(one) == ALL_WAIT
    assert value(many, "bullmq_redis_keys") == value(one, "bullmq_redis_keys")
    assert value(many, "bullmq_redis_info", mode="cluster", role="master") == 1
    assert value(many, "bullmq_exporter_queues") == len(QUEUES)
    assert set(every(many, "bullmq_exporter_collector_success").values()) == {1}
    assert len({filled.master_of(queue).port for queue in QUEUES}) == 3


def test_counts_stay_exact_while_a_slot_moves(filled: Cluster) -> None:
    source = filled.master_of("{a}")
    target = next(s for s in map(filled.master_of, QUEUES) if s is not source)
    watch = Watch(filled.url, cluster=True, discovery_interval_seconds=OFTEN)
    assert waiting(watch.discover_and_poll()) == ALL_WAIT
    count = 0

    def exact(stage: str) -> None:
        nonlocal count
        event(filled.client(), "{a}")
        count += 1
        samples = watch.poll()
        assert waiting(samples) == ALL_WAIT, stage
        assert added(samples)["{a}"] == count, stage
        assert set(every(samples, "bullmq_exporter_collector_success").values()) == {1}, stage

    exact("before")
    filled.begin_move(SLOT, source, target)
    exact("nothing has moved yet")
    while filled.move_keys(SLOT, source, target, 1):
        exact("a key has moved")
    filled.end_move(SLOT, target)
    exact("the slot has moved")
    exact("and the slots are known")
    assert filled.master_of("{a}") is target
    watch.discover_and_poll()
    exact("after a discovery")


def test_a_failover_shows_no_false_value(filled: Cluster) -> None:
    watch = Watch(filled.url, cluster=True, discovery_interval_seconds=OFTEN)
    watch.discover_and_poll()
    event(filled.client(), "{a}")
    before = watch.poll()
    assert added(before)["{a}"] == 1
    master = filled.master_of("{a}")
    theirs = {queue for queue in QUEUES if filled.master_of(queue) is master}
    filled.settle(master)

    master.kill()
    down = watch.poll()
    # never a false 0: absent; the other queues are unchanged
    assert waiting(down) == {q: 3 for q in QUEUES if q not in theirs}
    assert value(down, "bullmq_up") == 1
    success = "bullmq_exporter_collector_success"
    assert value(down, success, collector="queues") == 0
    assert value(down, success, collector="events") == 0
    errors = "bullmq_exporter_collector_errors_total"
    assert value(down, errors, collector="queues", error="connection") == 1
    assert added(down) == added(before)

    filled.await_failover(master)
    wait_for(lambda: waiting(watch.poll()) == ALL_WAIT, "the replica is read")
    event(filled.client(), "{a}")
    after = watch.poll()
    assert added(after)["{a}"] == 2
    assert value(after, success, collector="queues") == 1
    for family in ("bullmq_redis_commands_processed_total", "bullmq_redis_expired_keys_total"):
        assert (value(after, family) or 0) >= (value(before, family) or 0)
    watch.discover_and_poll()
    assert waiting(watch.poll()) == ALL_WAIT


def test_discovery_while_a_master_is_down(filled: Cluster) -> None:
    watch = Watch(filled.url, cluster=True, discovery_interval_seconds=OFTEN)
    watch.discover_and_poll()
    master = filled.master_of("{a}")
    theirs = {queue for queue in QUEUES if filled.master_of(queue) is master}
    start = next(s for s in filled.servers if s is not master)
    filled.settle(master)
    success = "bullmq_exporter_collector_success"

    master.kill()
    here = next(queue for queue in QUEUES if queue not in theirs)
    add_queues(filled.master_of(here).client(), f"{here}new")
    known = watch.discover_and_poll()
    assert value(known, success, collector="discovery") == 0
    assert set(waiting(known)) == {*QUEUES, f"{here}new"} - theirs
    assert value(known, "bullmq_exporter_queues") == len(QUEUES) + 1

    fresh = Watch(start.url, cluster=True, discovery_interval_seconds=OFTEN)
    found = fresh.discover_and_poll()
    assert set(waiting(found)) == {*QUEUES, f"{here}new"} - theirs
    # the number of queues is unknown
    assert value(found, "bullmq_exporter_queues") is None

    filled.replace(master)
    everything = {*QUEUES, f"{here}new"}
    wait_for(lambda: set(waiting(fresh.discover_and_poll())) == everything, "all are found")
    assert value(fresh.poll(), success, collector="discovery") == 1
    assert value(fresh.poll(), "bullmq_exporter_queues") == len(everything)


def test_a_hanging_node_hides_only_its_own_queues(
    filled: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(filled.url, cluster=True)
    watch.discover_and_poll()
    master = filled.master_of("{a}")
    (node,) = [node for node in watch.client.nodes if node.settings.url.port == master.port]
    theirs = {queue for queue in QUEUES if filled.master_of(queue) is master}
    for outage in (1, 2):
        node.settings = patient(node.settings, 0.2)
        master.signal(signal.SIGSTOP)
        hung = watch.poll()
        master.signal(signal.SIGCONT)
        node.settings = patient(node.settings)
        assert waiting(hung) == {q: 3 for q in QUEUES if q not in theirs}
        message = f"queues: node 127.0.0.1:{master.port}: "
        assert len([r for r in caplog.records if r.message.startswith(message)]) == outage
        wait_for(lambda: waiting(watch.poll()) == ALL_WAIT, "all queues are shown again")


@pytest.mark.parametrize(("cost", "fewest", "most"), [(2.0, 4, 9), (0.0, 60, 60)])
def test_retries_of_a_node_that_times_out_back_off(
    filled: Cluster,
    clock: StoppedClock,
    monkeypatch: pytest.MonkeyPatch,
    cost: float,
    fewest: int,
    most: int,
) -> None:
    """A node that refuses at once costs nothing, and is tried at every poll."""
    watch = Watch(filled.url, cluster=True)
    watch.discover_and_poll()
    dead = watch.client.nodes[1]
    attempts = 0

    def connect() -> NoReturn:
        nonlocal attempts
        attempts += 1
        clock.move(cost)
        raise RedisFailure(ErrorClass.TIMEOUT, "no reply")

    with monkeypatch.context() as patch:
        patch.setattr(dead, "connect", connect)
        dead.close()
        began = time.monotonic()
        while time.monotonic() < began + 60:
            down = watch.poll()
            assert 0 < len(waiting(down)) < len(QUEUES)
            assert value(down, "bullmq_exporter_collector_success", collector="queues") == 0
            clock.move(1)
    assert fewest <= attempts <= most
    clock.move(20)
    watch.poll_unseen()
    assert waiting(watch.poll()) == ALL_WAIT


def test_the_start_node_may_be_a_replica_or_fail(filled: Cluster) -> None:
    replica = next(s for s in filled.servers if s.client().info("replication")["role"] == "slave")
    watch = Watch(replica.url, cluster=True)
    assert waiting(watch.discover_and_poll()) == ALL_WAIT
    replica.kill()
    assert waiting(watch.poll()) == ALL_WAIT
    watch.client.close()
    assert waiting(watch.poll()) == ALL_WAIT


def test_a_server_without_cluster_mode_is_reported(server: Server) -> None:
    watch = Watch(server.url, cluster=True)
    assert value(watch.discover_and_poll(), "bullmq_up") == 0
    problem = watch.snapshot.last_error
    assert problem is not None
    assert problem.text.endswith("is not a cluster node; remove cluster: true")


class TestWithoutTheSetting:
    """The URL leads to a cluster node, but `cluster: true` is missing."""

    @pytest.mark.parametrize("names", [QUEUES, [f"q{number}" for number in range(32)]])
    def test_the_missing_setting_is_reported_once(
        self, nodes: Cluster, caplog: pytest.LogCaptureFixture, names: list[str]
    ) -> None:
        """For queues whose keys are on one node, or on several nodes, which redirect."""
        add_queues(nodes.client(), *names)
        watch = Watch(nodes.master_of("{a}").url)
        for _ in range(3):
            watch.discover_and_poll()
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert [record.message for record in warnings] == [ONE_NODE]
        first = verdict_of(moment_of(watch.store, watch.config)).findings[0]
        assert (first.status, first.explanation) == (Status.CRITICAL, ONE_NODE)

    def test_redirections_report_it_if_the_slots_are_hidden(
        self, nodes: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        """CLUSTER SLOTS is refused."""
        add_queues(nodes.client(), *(f"q{number}" for number in range(32)))
        rules = ("hidden", "on", ">pass", "~*", "+@all", "-cluster|slots")
        node = nodes.master_of("{a}")
        node.client().execute_command("ACL", "SETUSER", *rules)
        watch = Watch(node.url.replace("://", "://hidden:pass@"))
        for _ in range(3):
            watch.discover_and_poll()
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert [record.message for record in warnings] == [ONE_NODE]
        found = verdict_of(moment_of(watch.store, watch.config)).findings
        assert found[0].explanation == ONE_NODE

    def test_a_cluster_of_one_master_is_read_as_a_server(self) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
        with redis_server(*options) as server:
            server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_for(lambda: _is_ok(server), "the cluster is up")
            add_queues(server.client(), "mail")
            watch = Watch(server.url)
            assert waiting(watch.discover_and_poll()) == {"mail": 1}
            found = verdict_of(moment_of(watch.store, watch.config)).findings
            assert [finding.name for finding in found] == ["NoWorkers"]


class TestDatabases:
    """A Valkey 9 cluster can have several databases, a Redis cluster only one."""

    def test_a_cluster_with_several_databases(self) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-databases", "4")
        with valkey(*options, "--cluster-port", str(free_port())) as server:
            server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_for(lambda: _is_ok(server), "the cluster is up")
            add_queues(server.client(db=0), "zero")
            add_queues(server.client(db=1), "one", "{two}")
            event(server.client(db=1), "one")
            watch = Watch(server.url.replace("/0", "/1"), cluster=True)
            assert waiting(watch.discover_and_poll()) == {"one": 1, "{two}": 1}
            event(server.client(db=1), "one")
            assert added(watch.poll())["one"] == 1

    def test_a_cluster_with_one_database(self, nodes: Cluster) -> None:
        watch = Watch(nodes.url.replace("/0", "/1"), cluster=True)
        assert value(watch.discover_and_poll(), "bullmq_up") == 0
        problem = watch.snapshot.last_error
        assert problem is not None
        assert problem.text.endswith("this cluster has only database 0; correct the URL")


def _is_ok(server: Server) -> bool:
    with server.client(protocol=2) as client:
        client.response_callbacks.clear()
        return b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")


def test_history_does_not_count_if_the_first_look_up_failed(
    filled: Cluster,
) -> None:
    master = filled.master_of("{a}")
    filled.settle(master)
    start = next(s for s in filled.servers if s is not master)
    master.kill()
    watch = Watch(start.url, cluster=True, static=tuple(QUEUES), discovery=False)
    assert "{a}" not in added(watch.poll())
    filled.replace(master)
    wait_for(lambda: "{a}" in added(watch.poll()), "the replica is read")
    assert set(added(watch.poll()).values()) == {0}
    event(filled.client(), "{a}")
    assert added(watch.poll())["{a}"] == 1


def test_a_queue_that_moves_to_a_scanned_node_is_kept(filled: Cluster) -> None:
    client = ClientRegistry().get(config_for(filled.url, cluster=True).connections["default"], "t")
    client.connect()
    client.ping()
    context = Context(client, 0.0)
    discovery = Discovery(Queues())
    while not discovery.step(context):
        pass
    known = discovery.current()
    assert len(known.queues) == len(QUEUES)

    ports = [int(node.settings.url.port) for node in client.nodes]
    servers = [next(s for s in filled.servers if s.port == port) for port in ports]
    slot, source = next(
        (key_slot(queue.encode()), filled.master_of(queue))
        for queue in QUEUES
        if filled.master_of(queue) is not servers[0]
    )
    assert not discovery.step(context)  # the first node has been scanned
    filled.begin_move(slot, source, servers[0])
    while filled.move_keys(slot, source, servers[0], 10):
        pass
    filled.end_move(slot, servers[0])
    while not discovery.step(context):
        pass
    assert discovery.current().queues is known.queues

    while not discovery.step(context):
        pass
    assert discovery.current().queues is known.queues
    filled.client().delete(*(f"bull:{QUEUES[0]}:{key}" for key in ("id", "meta")))
    for _ in range(2):
        while not discovery.step(context):
            pass
    assert len(discovery.current().queues) == len(QUEUES) - 1
    client.close()


def test_a_pass_scans_a_node_again_if_its_process_changed(
    filled: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that node: the others have been scanned, or will be."""
    client = ClientRegistry().get(config_for(filled.url, cluster=True).connections["default"], "t")
    client.connect()
    client.ping()
    for node in client.nodes:
        server = next(s for s in filled.servers if s.port == node.settings.url.port)
        add_queues(server.client(), *_queues_of(filled, server))
    scans: list[tuple[int, bool]] = []
    call = NodeClient.call

    def recorded(node: NodeClient, packed: bytes, limit: int) -> Reply:
        scans.append((node.settings.url.port, pack("SCAN", 0, "MATCH")[4:] in packed))
        return call(node, packed, limit)

    discovery, context = Discovery(Queues(discovery_batch=10)), Context(client, 0.0)
    second = client.nodes[1]
    with monkeypatch.context() as patch:
        patch.setattr(NodeClient, "call", recorded)
        while not any(port == second.settings.url.port for port, _ in scans):
            assert not discovery.step(context)
        known = second.metadata
        assert known is not None
        second.metadata = replace(known, run_id="0" * 40)
        while not discovery.step(context):
            pass
    client.close()
    starts = [port for port, from_start in scans if from_start]
    first, changed, last = (node.settings.url.port for node in client.nodes)
    assert starts == [first, changed, changed, last]


def _queues_of(nodes: Cluster, server: Server) -> list[str]:
    queue = next(queue for queue in QUEUES if nodes.master_of(queue) is server)
    return [f"{queue}{number}" for number in range(50)]
