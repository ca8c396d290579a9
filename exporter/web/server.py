"""The HTTP server: uvicorn in a thread, on a socket that is opened before it starts."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from exporter.config.models import split_host_port
from exporter.web.bad_requests import UVICORN, BadRequestFilter
from exporter.web.limits import ConnectionLimits
from exporter.web.protocol import HEAD_BYTES, REQUEST_SECONDS, GuardedProtocol

_BACKLOG: Final = 128
_IDLE_SECONDS: Final = 5
_CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", _CONTENT_POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def open_socket(listen: str) -> socket.socket:
    """Open a listening socket on `HOST:PORT`. Raises `ListenError`."""
    host, port = split_host_port(listen)
    try:
        if not host and socket.has_dualstack_ipv6():
            sock = socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
            )
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(
            f"cannot listen on {listen}: {reason}; choose another address with --listen"
        ) from None
    # Accepted sockets inherit TCP_NODELAY; asyncio sets it only on sockets that it opens itself.
    # Without it, a keep-alive client waits 40 ms for every response (Nagle and delayed ACK).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class _Loop(asyncio.SelectorEventLoop):
    """An event loop with a shorter timeout for TLS handshakes than asyncio's minute."""

    async def create_server(  # type: ignore[override]
        self, *arguments: Any, ssl: ssl.SSLContext | None = None, **options: Any
    ) -> asyncio.Server:
        if ssl is not None:
            options["ssl_handshake_timeout"] = REQUEST_SECONDS
        return await super().create_server(*arguments, ssl=ssl, **options)


class WebServer:
    """Serves an ASGI application in a thread until it is stopped."""

    def __init__(
        self,
        app: ASGIApp,
        sock: socket.socket,
        max_concurrent_requests: int,
        context: ssl.SSLContext | None,
    ) -> None:
        self._socket = sock
        limits = ConnectionLimits(max_concurrent_requests)
        config = uvicorn.Config(
            app,
            # uvicorn declares a class here, but only calls it, which a partial serves as well
            http=partial(GuardedProtocol, limits=limits),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            headers=list(_HEADERS),
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = context
        self._server = uvicorn.Server(config)
        self._log_filter = BadRequestFilter()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Start serving."""
        logging.getLogger(UVICORN).addFilter(self._log_filter)
        self._thread.start()

    def stop(self) -> None:
        """Stop, after finishing the requests in progress within a second."""
        self._server.should_exit = True
        self._thread.join(timeout=1.5)
        self._socket.close()
        logging.getLogger(UVICORN).removeFilter(self._log_filter)

    @property
    def alive(self) -> bool:
        """Whether the server's thread is running."""
        return self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self._server.serve(sockets=[self._socket]))
