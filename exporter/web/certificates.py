"""Reloads TLS certificates when their files change, without a restart."""

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
    """The server's TLS context, which passes each handshake on to the newest context.

    A new context is built for changed files instead of loading them into the context in use,
    which would break it while only the certificate or only the key has been replaced.
    """

    def __init__(self, tls: WebTLS) -> None:
        """Load the files. Raises `ValueError` if one is unusable."""
        self._tls = tls
        self._state = self._file_state()
        self.context = server_context(tls)
        """None without a certificate."""
        self._newest = self.context
        if self.context is not None:
            self.context.sni_callback = self._use_newest

    def _use_newest(self, handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Called by OpenSSL at the start of every handshake, also for clients without SNI."""
        self._renew()
        if self._newest is not None and self._newest is not self.context:
            handshake.context = self._newest

    def _renew(self) -> None:
        state = self._file_state()
        if state == self._state:
            return
        self._state = state
        try:
            self._newest = server_context(self._tls)
        except ValueError as error:
            event(logger, logging.ERROR, "certificate not renewed", detail=str(error))
        else:
            event(logger, logging.INFO, "certificate renewed", file=self._tls.cert_file)

    def _file_state(self) -> _State:
        return tuple(_stamp(file) for file in self._files() if file is not None)

    def _files(self) -> tuple[Path | None, ...]:
        return (self._tls.cert_file, self._tls.key_file, self._tls.client_ca_file)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
