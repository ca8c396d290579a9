"""A small TCP proxy that misbehaves on command."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from tests.support.servers import Server


class Proxy:
    """In front of a server. Attributes may be changed at any time, for all its connections."""

    def __init__(self, server: Server) -> None:
        self._target = server.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.delay = 0.0
        """Seconds before each answer."""
        self.drop = False
        """Swallow what the server answers."""
        self.hang = False
        """Accept, and never pass anything on."""
        self.cut_after: int | None = None
        """Close the connection after so many bytes of answers."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Close every connection now."""
        for sock in self._sockets:
            _close(sock)

    def close(self) -> None:
        # a listener that is only closed still takes the client that accept() waits for
        _close(self._listener)
        self.cut()

    @property
    def open_connections(self) -> int:
        """Connections that the client has not closed."""
        return sum(sock.fileno() != -1 for sock in self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                front, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(front)
            threading.Thread(target=self._serve, args=(front,), daemon=True).start()

    def _serve(self, front: socket.socket) -> None:
        try:
            back = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            _close(front)
            return
        answers = threading.Thread(target=self._answers, args=(back, front), daemon=True)
        answers.start()
        try:
            while data := front.recv(1 << 16):
                if not self.hang:
                    back.sendall(data)
        except OSError:
            pass
        _close(back)
        _close(front)

    def _answers(self, back: socket.socket, front: socket.socket) -> None:
        passed = 0
        try:
            while data := back.recv(1 << 16):
                time.sleep(self.delay)
                if self.drop:
                    continue
                if self.cut_after is not None and passed + len(data) > self.cut_after:
                    front.sendall(data[: self.cut_after - passed])
                    break
                passed += len(data)
                front.sendall(data)
        except OSError:
            pass
        _close(front)
        _close(back)


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
