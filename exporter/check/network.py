"""The way to the server, a layer at a time: name, TCP, TLS."""

from __future__ import annotations

import socket
import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from exporter.check.model import Outcome, Step
from exporter.config.models import Connection, Sentinel
from exporter.connection.dial import tls_context
from exporter.connection.sentinel import ask_sentinels


def network_steps(settings: Connection) -> Iterator[Step]:
    """The steps up to where Redis itself is spoken to; a failure is the last."""
    if settings.sentinel is not None:
        named: list[Connection] = []
        yield from _sentinels(settings, settings.sentinel, named)
        if not named:
            return
        settings = named[0]
    if settings.url.scheme == "unix":
        yield _socket_file(Path(settings.url.path))
        return
    resolved = _resolve(settings)
    yield resolved
    if resolved.outcome is Outcome.FAILED:
        return
    yield from _connect(settings)


def _sentinels(settings: Connection, sentinel: Sentinel, named: list[Connection]) -> Iterator[Step]:
    """A step for each sentinel; the masters that they name go to `named`."""
    silent = []
    for answer in ask_sentinels(settings, sentinel):
        if answer.master is not None:
            named.append(answer.master)
            detail = f"{answer.sentinel} names {answer.master.url.address} as {sentinel.master}"
            yield Step("sentinel", Outcome.OK, detail)
        elif answer.failure is not None:
            silent.append(f"{answer.sentinel}: {answer.failure.text}")
            yield Step("sentinel", Outcome.WARNING, silent[-1])
    masters = list(dict.fromkeys(master.url.address for master in named))
    if not masters:
        detail = f"no sentinel reports the master {sentinel.master}: {'; '.join(silent)}"
        yield Step("sentinel", Outcome.FAILED, detail)
    elif len(masters) > 1:
        detail = f"they name different masters, {', '.join(masters)}; a failover is under way"
        yield Step("sentinel", Outcome.WARNING, detail)


def _socket_file(path: Path) -> Step:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        detail = f"{path}: {error.strerror}; is Redis running, with `unixsocket {path}`?"
        return Step("socket", Outcome.FAILED, detail)
    if not stat.S_ISSOCK(mode):
        return Step("socket", Outcome.FAILED, f"{path} is not a socket")
    return Step("socket", Outcome.OK, str(path))


def _resolve(settings: Connection) -> Step:
    url, started = settings.url, time.perf_counter()
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError as error:
        detail = f"{url.host} cannot be resolved ({error.strerror}); is the host name right?"
        return Step("name", Outcome.FAILED, detail)
    seconds = time.perf_counter() - started
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    detail = f"{url.host} is {', '.join(addresses)} ({seconds * 1000:.1f} ms)"
    return Step("name", Outcome.OK, detail, {"addresses": addresses, "seconds": seconds})


def _connect(settings: Connection) -> Iterator[Step]:
    url, started = settings.url, time.perf_counter()
    try:
        sock = socket.create_connection((url.host, url.port), settings.connect_timeout_seconds)
    except OSError as error:
        reason = error.strerror or str(error)
        detail = f"{url.address}: {reason}; is Redis there, and is nothing in the way?"
        yield Step("tcp", Outcome.FAILED, detail)
        return
    seconds = time.perf_counter() - started
    peer = str(sock.getpeername()[0])
    detail = f"connected to {peer} in {seconds * 1000:.1f} ms"
    yield Step("tcp", Outcome.OK, detail, {"peer": peer, "seconds": seconds})
    with sock:
        if url.scheme == "rediss":
            yield _handshake(settings, sock)


def _handshake(settings: Connection, sock: socket.socket) -> Step:
    name = settings.tls.server_name or settings.url.host
    try:
        with tls_context(settings.tls).wrap_socket(sock, server_hostname=name) as wrapped:
            version, certificate = wrapped.version(), wrapped.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        detail = f"the certificate is not accepted: {error.verify_message}; see tls.ca_file"
        return Step("tls", Outcome.FAILED, f"{detail} and tls.server_name")
    except (OSError, ValueError) as error:
        detail = f"no TLS handshake ({error}); does the server speak TLS on this port?"
        return Step("tls", Outcome.FAILED, detail)
    expires = str(certificate.get("notAfter", ""))
    trust = f"certificate for {name} valid until {expires}" if expires else "not verified"
    outcome = Outcome.OK if settings.tls.verify else Outcome.WARNING
    return Step("tls", outcome, f"{version}, {trust}", {"version": version, "expires": expires})
