"""A real cluster: three masters, each with a replica."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import redis
from redis.crc import key_slot

from tests.support.requirements import require
from tests.support.servers import Server, free_port
from tests.support.waiting import wait_for

MASTERS = 3
NODE_TIMEOUT_MS = 1000


class Cluster:
    """Started at once; `client` speaks to all of it."""

    def __init__(self) -> None:
        binary = require("redis-server")
        require("redis-cli")
        self.servers = [
            Server(
                binary,
                *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                *("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--appendonly", "no"),
            )
            for _ in range(2 * MASTERS)
        ]

    def start(self) -> None:
        for server in self.servers:
            server.start()
        nodes = [f"127.0.0.1:{server.port}" for server in self.servers]
        self._manage("create", *nodes, "--cluster-replicas", "1", "--cluster-yes")
        wait_for(lambda: all(map(self._complete, self.servers)), "the cluster is complete")

    def close(self) -> None:
        for server in self.servers:
            server.close()

    @property
    def url(self) -> str:
        return self.servers[0].url

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster("127.0.0.1", self._alive().port)

    def master_of(self, key: str) -> Server:
        """The server that has the key's slot."""
        slot = key_slot(key.encode())
        for first, last, master, *_ in self._slots():
            if first <= slot <= last:
                return self._server(master[1])
        raise AssertionError(f"nobody has slot {slot}")

    def restore(self) -> None:
        """Bring back who was killed, and wait until all is well."""
        for server in self.servers:
            if not server.running:
                server.start()
        wait_for(lambda: all(map(self._complete, self.servers)), "the cluster is complete")

    def settle(self, master: Server) -> None:
        """Wait until the master's replica has all that it has."""
        info = master.client().info("replication")
        wait_for(
            lambda: (
                master.client().info("replication")["slave0"]["offset"]
                >= info["master_repl_offset"]
            ),
        )

    def fail_over_on_demand(self, master: Server) -> None:
        """The master and its replica change places."""
        port = next(nodes[0][1] for _, _, node, *nodes in self._slots() if node[1] == master.port)
        self._server(port).client().execute_command("CLUSTER", "FAILOVER")
        wait_for(lambda: self._left(master), "they have changed places")

    def await_failover(self, killed: Server) -> None:
        """Wait until a replica has taken over."""
        wait_for(lambda: self._left(killed), "a replica takes over")

    def begin_move(self, slot: int, source: Server, target: Server) -> None:
        """The slot is on its way: keys may be on either side."""
        ids = [self.node_id(server) for server in (source, target)]
        target.client().execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.client().execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])

    def move_keys(self, slot: int, source: Server, target: Server, count: int) -> int:
        """Move so many of the slot's keys; how many there were."""
        keys = source.client().execute_command("CLUSTER", "GETKEYSINSLOT", slot, count)
        for key in keys:
            source.client().execute_command(
                "MIGRATE", "127.0.0.1", target.port, key, 0, 5000, "REPLACE"
            )
        return len(keys)

    def end_move(self, slot: int, target: Server) -> None:
        """The slot is the target's, as all masters are told."""
        owner = self.node_id(target)
        masters = {node[1] for _, _, node, *_ in self._slots()}
        for server in [target, *(self._server(port) for port in masters - {target.port})]:
            server.client().execute_command("CLUSTER", "SETSLOT", slot, "NODE", owner)

    def node_id(self, server: Server) -> str:
        found: str = server.client().execute_command("CLUSTER", "MYID").decode()
        return found

    def _left(self, killed: Server) -> bool:
        """Whether all who live agree that it has no slot any more."""
        living = [server for server in self.servers if server.running]
        owners = {node[1] for server in living for _, _, node, *_ in self._slots(server)}
        return killed.port not in owners and all(map(_is_ok, living))

    def _complete(self, server: Server) -> bool:
        replicas = [nodes for _, _, _, *nodes in self._slots(server)]
        return _is_ok(server) and all(len(nodes) == 1 for nodes in replicas)

    def _slots(self, server: Server | None = None) -> list[Any]:
        connection = (server or self._alive()).client(protocol=2).connection_pool.get_connection()
        connection.send_command("CLUSTER", "SLOTS")
        reply: list[Any] = connection.read_response()
        connection.disconnect()
        return reply

    def _alive(self) -> Server:
        return next(server for server in self.servers if server.running)

    def _server(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)

    def _manage(self, *arguments: str) -> None:
        done = subprocess.run(
            ["redis-cli", "--cluster", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _is_ok(server: Server) -> bool:
    info: bytes = server.client(protocol=2).execute_command("CLUSTER", "INFO")
    return b"cluster_state:ok" in info


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    try:
        found.start()
        yield found
    finally:
        found.close()
