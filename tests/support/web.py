"""The exporter's HTTP server in the test's process, so that tests can change its limits."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.responses import PlainTextResponse

from exporter.config.models import WebTLS
from exporter.web import Certificates, Users, WebServer, open_socket
from exporter.web.auth import BasicAuth
from exporter.web.endpoints import ENDPOINTS
from tests.support.waiting import LIMIT_SECONDS

QUEUE = "mail"
"""The queue that `paths` ask for."""
GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
MOST_CLIENTS = 5
OK = b"HTTP/1.1 200 "


def paths() -> tuple[str, ...]:
    """What a GET request may ask for, with a query string where it takes one."""
    return tuple(
        f"{each.path}?queue={QUEUE}" if each.needs_queue else each.path
        for each in ENDPOINTS
        if each.method == "GET"
    )


@dataclass(frozen=True)
class Serving:
    """A server that returns the same body to every request."""

    web: WebServer
    address: tuple[str, int]

    @contextlib.contextmanager
    def client(
        self, context: ssl.SSLContext | None = None, source: str = "127.0.0.1"
    ) -> Iterator[socket.socket]:
        """A connection from this source address; over TLS if a context is given."""
        with socket.create_connection(self.address, LIMIT_SECONDS, (source, 0)) as sock:
            if context is None:
                yield sock
                return
            with context.wrap_socket(sock, server_hostname="127.0.0.1") as wrapped:
                yield wrapped

    def ask(
        self,
        request: bytes = GET,
        context: ssl.SSLContext | None = None,
        source: str = "127.0.0.1",
    ) -> bytes:
        """The response to a request, after which the connection is closed."""
        with self.client(context, source) as sock:
            sock.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            return until_closed(sock)


@contextlib.contextmanager
def serving(
    body: str = "it", *, users: Users | None = None, tls: WebTLS | None = None
) -> Iterator[Serving]:
    """A server on a free port, for these users."""
    app = BasicAuth(PlainTextResponse(body), users or Users({}))
    sock = open_socket("127.0.0.1:0")
    web = WebServer(app, sock, MOST_CLIENTS, Certificates(tls or WebTLS()).context)
    web.start()
    try:
        yield Serving(web, sock.getsockname())
    finally:
        web.stop()


def until_closed(sock: socket.socket) -> bytes:
    """Everything received until the connection is closed. Raises `TimeoutError` if it is not."""
    found = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(1 << 16):
            found += data
    return bytes(found)
