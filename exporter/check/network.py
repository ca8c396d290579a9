"""Tests the path to the server layer by layer: name resolution, TCP, TLS."""

from __future__ import annotations

import socket
import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from exporter.check.model import Outcome, Step
from exporter.check.remedies import connect_remedy, resolve_remedy, sentinel_remedy
from exporter.check.stranger import REDIS, who_answers
from exporter.check.tls import explain_alert
from exporter.config.models import Connection, Sentinel
from exporter.connection.dial import tls_context
from exporter.connection.sentinel import ask_sentinels


def network_steps(settings: Connection) -> Iterator[Step]:
    """The steps before any command is sent to Redis; ends after a failure."""
    if settings.sentinel is not None:
        masters: list[Connection] = []
        yield from _sentinels(settings, settings.sentinel, masters)
        if not masters:
            return
        settings = masters[0]
    if settings.url.scheme == "unix":
        yield _socket_file(Path(settings.url.path))
        return
    resolved = _resolve(settings)
    yield resolved
    if resolved.outcome is Outcome.FAILED:
        return
    yield from _connect(settings, resolved.data["addresses"])


def _sentinels(
    settings: Connection, sentinel: Sentinel, masters: list[Connection]
) -> Iterator[Step]:
    """A step for each sentinel; appends the masters that they report to `masters`."""
    failures = []
    for answer in ask_sentinels(settings, sentinel):
        if answer.master is not None:
            masters.append(answer.master)
            detail = f"{answer.sentinel}: master {sentinel.master} is {answer.master.url.address}"
            yield Step("sentinel", Outcome.OK, detail)
        elif answer.failure is not None:
            failures.append(f"{answer.sentinel}: {answer.failure.text}")
            yield Step("sentinel", Outcome.WARNING, failures[-1])
    addresses = list(dict.fromkeys(master.url.address for master in masters))
    if not addresses:
        detail = f"no sentinel reports the master {sentinel.master}: {'; '.join(failures)}"
        remedy = sentinel_remedy(failures)
        yield Step("sentinel", Outcome.FAILED, f"{detail}: {remedy}" if remedy else detail)
    elif len(addresses) > 1:
        detail = f"the sentinels disagree: {', '.join(addresses)}; a failover is in progress"
        yield Step("sentinel", Outcome.WARNING, detail)


def _socket_file(path: Path) -> Step:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        detail = f"{path}: {error.strerror}; check that Redis runs with `unixsocket {path}`"
        return Step("socket", Outcome.FAILED, detail)
    if not stat.S_ISSOCK(mode):
        return Step("socket", Outcome.FAILED, f"{path} is not a socket")
    return Step("socket", Outcome.OK, str(path))


def _resolve(settings: Connection) -> Step:
    url, started = settings.url, time.perf_counter()
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError as error:
        detail = f"cannot resolve {url.host} ({error.strerror}); {resolve_remedy(error)}"
        return Step("name", Outcome.FAILED, detail)
    seconds = time.perf_counter() - started
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    detail = f"{url.host} resolves to {', '.join(addresses)} ({seconds * 1000:.1f} ms)"
    return Step("name", Outcome.OK, detail, {"addresses": addresses, "seconds": seconds})


def _connect(settings: Connection, addresses: list[str]) -> Iterator[Step]:
    url, started = settings.url, time.perf_counter()
    try:
        sock = socket.create_connection((url.host, url.port), settings.connect_timeout_seconds)
    except OSError as error:
        reason = error.strerror or str(error)
        detail = f"{url.address}: {reason}; {connect_remedy(settings, error, addresses)}"
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
        detail = f"certificate rejected: {error.verify_message}; check tls.ca_file"
        return Step("tls", Outcome.FAILED, f"{detail} and tls.server_name")
    except (OSError, ValueError) as error:
        remedy = explain_alert(settings, error) or _without_tls(settings)
        detail = f"TLS handshake failed ({error}); {remedy}"
        return Step("tls", Outcome.FAILED, detail)
    expires = str(certificate.get("notAfter", ""))
    trust = f"certificate for {name} valid until {expires}" if expires else "not verified"
    outcome = Outcome.OK if settings.tls.verify else Outcome.WARNING
    return Step("tls", outcome, f"{version}, {trust}", {"version": version, "expires": expires})


def _without_tls(settings: Connection) -> str:
    """The remedy for a failed handshake: whether the server answers without TLS."""
    name, address = who_answers(settings, tls=False), settings.url.address
    if name == REDIS:
        return f"this port answers without TLS; use redis://{address}, or the server's TLS port"
    if name:
        return f"this is {name}, not Redis; check host and port"
    return "check that this is the server's TLS port"
