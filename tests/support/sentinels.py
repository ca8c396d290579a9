"""A real master with its replica and sentinels."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.support.requirements import require
from tests.support.servers import Server
from tests.support.waiting import wait_for

MASTER = "mymaster"
SENTINELS = 3
DOWN_AFTER_MS = 500


class SentinelGroup:
    """`password` is that of the sentinels, `data_password` that of master and replica."""

    def __init__(self, password: str, data_password: str) -> None:
        binary = require("redis-server")
        auth = ("--requirepass", data_password, "--masterauth", data_password)
        self._password = password
        self._data_password = data_password
        self.master = Server(binary, *auth)
        self.replica = Server(binary, *auth, "--replicaof", f"127.0.0.1 {self.master.port}")
        self._folder = tempfile.TemporaryDirectory(prefix="bullmq-exporter-sentinels-")
        self.sentinels = [
            Server(binary, "--sentinel", config=self._config(number)) for number in range(SENTINELS)
        ]
        self._all = [self.master, self.replica, *self.sentinels]

    @property
    def nodes(self) -> list[str]:
        return [f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels]

    def start(self) -> None:
        for server in self._all:
            server.start()
        wait_for(
            lambda: self.client(self.replica).info("replication")["master_link_status"] == "up"
        )
        wait_for(lambda: all(map(self._ready, self.sentinels)), "the sentinels know each other")

    def close(self) -> None:
        for server in self._all:
            server.close()
        self._folder.cleanup()

    def client(self, server: Server) -> redis.Redis:
        return server.client(password=self._data_password)

    def reported_master(self) -> int:
        """The port of the master that all sentinels report; 0 while they differ."""
        ports = {
            int(self._ask(server, "GET-MASTER-ADDR-BY-NAME", MASTER)[1])
            for server in self.sentinels
        }
        return ports.pop() if len(ports) == 1 else 0

    def fail_over(self) -> None:
        """Start a failover with the master running; it becomes a replica."""
        self._ask(self.sentinels[0], "FAILOVER", MASTER)

    def _ready(self, server: Server) -> bool:
        reply = self._ask(server, "MASTER", MASTER)
        known = dict(zip(reply[::2], reply[1::2], strict=True))
        others = int(known[b"num-other-sentinels"])
        return others == SENTINELS - 1 and int(known[b"num-slaves"]) == 1

    def _ask(self, server: Server, *words: str) -> list[bytes]:
        with server.client(password=self._password, protocol=2) as client:
            connection = client.connection_pool.get_connection()
            connection.send_command("SENTINEL", *words)
            reply: list[bytes] = connection.read_response()
            return reply

    def _config(self, number: int) -> Path:
        file = Path(self._folder.name) / f"{number}.conf"
        file.write_text(
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {MASTER} 3000\n"
            f"sentinel auth-pass {MASTER} {self._data_password}\n"
            f"requirepass {self._password}\n"
        )
        return file


@contextlib.contextmanager
def sentinel_group(password: str, data_password: str) -> Iterator[SentinelGroup]:
    group = SentinelGroup(password, data_password)
    try:
        group.start()
        yield group
    finally:
        group.close()
