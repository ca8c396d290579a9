"""What a server is that answers, but not as the URL expects."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from typing import Final

from exporter.check.tls import tls_without_checks
from exporter.config.models import Connection

REDIS: Final = "Redis"

_REQUESTS: Final = (
    # HTTP servers answer it, Redis takes it for a command with two arguments, and servers that
    # speak first do so anyway
    b"GET / HTTP/1.0\r\n\r\n",
    # PostgreSQL answers nothing else: SSLRequest
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
)
_ANSWERS: Final = (
    (re.compile(rb"[+-](PONG|ERR|NOAUTH|NOPERM|DENIED|LOADING|MASTERDOWN|BUSY)\b"), REDIS),
    (re.compile(rb"HTTP/|<!DOCTYPE|<html", re.IGNORECASE), "an HTTP server"),
    (re.compile(rb"SSH-"), "an SSH server"),
    (re.compile(rb"[SN]$"), "PostgreSQL"),
    # the header of a packet, and the version of the protocol
    (re.compile(rb"...\x00[\x0a\xff]", re.DOTALL), "MySQL or MariaDB"),
    (re.compile(rb"AMQP"), "RabbitMQ"),
    (re.compile(rb"220[ -]"), "a mail or FTP server"),
    (re.compile(rb"ERROR\r\n"), "memcached"),
)
_MAX_SECONDS: Final = 1.0
_READ_BYTES: Final = 100


def who_answers(settings: Connection, *, tls: bool) -> str:
    """What listens at the URL's address, as `REDIS` or with its article; empty if unknown.

    Opens further connections, through TLS if `tls` is true.
    """
    if settings.sentinel is not None or settings.url.scheme == "unix":
        return ""
    for request in _REQUESTS:
        with suppress(OSError):
            answer = _answer(settings, request, tls=tls)
            for pattern, name in _ANSWERS:
                if pattern.match(answer):
                    return name
    return ""


def _answer(settings: Connection, request: bytes, *, tls: bool) -> bytes:
    """The first bytes of the answer."""
    url = settings.url
    timeout = min(settings.connect_timeout_seconds, _MAX_SECONDS)
    with socket.create_connection((url.host, url.port), timeout) as plain:
        sock = tls_without_checks().wrap_socket(plain) if tls else plain
        with sock:
            sock.sendall(request)
            return sock.recv(_READ_BYTES)
