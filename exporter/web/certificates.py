"""Certificates that are read anew when their files change, without a restart."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from exporter.config.certificates import server_context
from exporter.config.models import WebTLS
from exporter.log import event

logger = logging.getLogger("exporter.web")

_State = tuple[tuple[int, int, int], ...]


class Certificates:
    """A context for the server, which hands each handshake on to the newest one.

    A context is made whole before it is used: to load a new certificate into the one in use
    would leave it broken while only one of two files has been renewed.
    """

    def __init__(self, tls: WebTLS) -> None:
        self._tls = tls
        self._state = self._look()
        self.context = server_context(tls)
        """None where there is no certificate. Raises `ValueError` for files that are unusable."""
        self._newest = self.context
        if self.context is not None:
            self.context.sni_callback = self._hand_on

    def _hand_on(self, handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """OpenSSL asks at the start of each handshake, of clients that send no name as well."""
        self._renew()
        if self._newest is not None and self._newest is not self.context:
            handshake.context = self._newest

    def _renew(self) -> None:
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self._newest = server_context(self._tls)
        except ValueError as error:
            event(logger, logging.ERROR, "certificate not renewed", detail=str(error))
        else:
            event(logger, logging.INFO, "certificate renewed", file=self._tls.cert_file)

    def _look(self) -> _State:
        return tuple(_stamp(file) for file in self._files() if file is not None)

    def _files(self) -> tuple[Path | None, ...]:
        return (self._tls.cert_file, self._tls.key_file, self._tls.client_ca_file)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
