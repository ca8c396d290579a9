"""TLS in front of a server without TLS, with certificates generated for the test."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path

import trustme

from tests.support.servers import Server


def write_certificates(folder: Path) -> trustme.CA:
    """Write `ca.pem`, and `cert.pem` with `key.pem` for a client. Returns the CA."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf = ca.issue_cert("client")
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    return ca


def renew(folder: Path, ca: trustme.CA, name: str = "127.0.0.1") -> None:
    """Write a new `server.pem` with `server.key` for a server of this name."""
    leaf = ca.issue_cert(name)
    leaf.private_key_pem.write_to_path(str(folder / "server.key"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))


def client_context(ca: trustme.CA, *certificate: Path) -> ssl.SSLContext:
    """The context of a client that trusts the CA; with its certificate and key, if given."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


class TLSFront:
    """A TLS proxy in front of a server without TLS."""

    def __init__(self, server: Server, ca: trustme.CA, name: str, *, client_ca: bool) -> None:
        self._target = server.port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert(name).configure_cert(self._context)
        if client_ca:
            ca.configure_trust(self._context)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            front = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        back = socket.create_connection(("127.0.0.1", self._target))
        with front, back, contextlib.suppress(OSError):
            while True:
                ready = [front] if front.pending() else select.select([front, back], [], [])[0]
                for source, target in ((front, back), (back, front)):
                    if source in ready:
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        target.sendall(data)
