"""A small TCP proxy that causes network faults on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

from tests.support.servers import Server

_TICK = 0.05


class Proxy:
    """A proxy in front of a server. Its attributes may change at any time, for all connections."""

    def __init__(self, server: Server) -> None:
        self.target = server.port
        """The port that new connections lead to."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.delay = 0.0
        """Seconds before each reply is forwarded."""
        self.bytes_per_second: int | None = None
        """Bandwidth of the replies."""
        self.drop = False
        """Whether to drop all replies."""
        self.hang = False
        """Whether to accept connections but forward nothing to the server."""
        self.hang_after: int | None = None
        """Drop the replies of a connection after this many bytes."""
        self.dropped = False
        """Whether a command or a reply was dropped, so that the client is waiting for a reply."""
        self.cut_after: int | None = None
        """Close a connection after this many bytes of replies."""
        self.reset = False
        """Whether to send a TCP reset instead of a reply."""
        self.corrupt: Callable[[bytes], bytes] | None = None
        """Returns the bytes to send instead of a reply."""
        self._listen()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Close every connection now."""
        for sock in self._sockets:
            _close(sock)

    def refuse(self) -> None:
        """Close every connection, and refuse new ones."""
        # a listener that is only closed would still accept one client
        _close(self._listener)
        self.cut()

    def accept_again(self) -> None:
        """Accept connections again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def close(self) -> None:
        self.refuse()

    @property
    def open_connections(self) -> int:
        """Connections that the client has not closed."""
        return sum(sock.fileno() != -1 for sock in self._sockets)

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                front, _ = listener.accept()
            except OSError:
                return
            self._sockets = [sock for sock in self._sockets if sock.fileno() != -1] + [front]
            threading.Thread(target=self._serve, args=(front,), daemon=True).start()

    def _serve(self, front: socket.socket) -> None:
        try:
            back = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            _close(front)
            return
        replies = threading.Thread(target=self._forward_replies, args=(back, front), daemon=True)
        replies.start()
        with contextlib.suppress(OSError):
            while data := front.recv(1 << 16):
                if self.hang:
                    self.dropped = True
                else:
                    back.sendall(data)
        _close(back)
        _close(front)

    def _forward_replies(self, back: socket.socket, front: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := back.recv(1 << 16):
                time.sleep(self.delay)
                if self.reset:
                    _reset(front)
                    break
                if self.corrupt is not None:
                    data = self.corrupt(data)
                if self.cut_after is not None and passed + len(data) > self.cut_after:
                    front.sendall(data[: max(0, self.cut_after - passed)])
                    break
                self._pass(front, data, passed)
                passed += len(data)
        _close(front)
        _close(back)

    def _pass(self, front: socket.socket, data: bytes, passed: int) -> None:
        kept = None if self.hang_after is None else max(0, self.hang_after - passed)
        if self.drop or (kept is not None and kept < len(data)):
            self.dropped = True
        if self.drop:
            return
        data = data[:kept]
        while self.bytes_per_second is not None and data:
            some = max(1, int(self.bytes_per_second * _TICK))
            front.sendall(data[:some])
            data = data[some:]
            time.sleep(_TICK)
        front.sendall(data)


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _reset(sock: socket.socket) -> None:
    """Close with a reset instead of an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        # wakes the reading thread, which would keep the socket open; sends nothing
        sock.shutdown(socket.SHUT_RD)
    sock.close()
