"""The HTTP server: uvicorn in a thread, on a socket that was opened before it started."""

from __future__ import annotations

import socket
import threading

import uvicorn
from starlette.applications import Starlette

from exporter.config import split_host_port

_BACKLOG = 128


class ListenError(Exception):
    """The address cannot be listened on; the text says why and what to do."""


def open_socket(listen: str) -> socket.socket:
    """A listening socket. Raises `ListenError`."""
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
    # accepted sockets inherit it; asyncio sets it only on sockets that it opened itself, and
    # without it a kept-alive client waits 40 ms for every answer (Nagle and delayed ACK)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class WebServer:
    """Serves an application until it is stopped."""

    def __init__(self, app: Starlette, sock: socket.socket, max_concurrent_requests: int) -> None:
        self._socket = sock
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                limit_concurrency=max_concurrent_requests,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests in progress, within a second, and stop."""
        self._server.should_exit = True
        self._thread.join(timeout=1.5)
        self._socket.close()

    @property
    def alive(self) -> bool:
        """Whether requests are being served."""
        return self._thread.is_alive()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
