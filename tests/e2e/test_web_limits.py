"""Limits of the HTTP server. Each test shortens one timeout; the others are an hour."""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from exporter.config.models import WebTLS
from exporter.config.secret import Secret
from exporter.web import Users, bad_requests, limits, protocol, server
from tests.support.tls import renew, write_certificates
from tests.support.users import hashed
from tests.support.waiting import LIMIT_SECONDS, wait_for
from tests.support.web import GET, MOST_CLIENTS, OK, Serving, serving, until_closed

HOUR = 3600.0
SHORT = 0.5


@pytest.fixture(autouse=True)
def long_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set all timeouts to an hour; a test shortens one before it starts a server."""
    for module in (protocol, server):
        monkeypatch.setattr(module, "REQUEST_SECONDS", HOUR)
    monkeypatch.setattr(protocol, "RESPONSE_SECONDS", HOUR)
    monkeypatch.setattr(server, "_IDLE_SECONDS", HOUR)
    monkeypatch.setattr(bad_requests, "PAUSE_SECONDS", HOUR)


def test_an_incomplete_request_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", SHORT)
    parts = (
        b"",
        b"GET /met",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
    )
    with serving() as running, contextlib.ExitStack() as clients:
        for part in parts:
            sock = clients.enter_context(running.client())
            sock.sendall(part)
            until_closed(sock)


def test_a_slow_request_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", SHORT)
    with serving() as running, running.client() as sock:
        sock.sendall(GET)
        assert sock.recv(65536).startswith(OK)
        sock.sendall(b"G")
        sock.settimeout(SHORT / 5)

        def closed() -> bool:
            try:
                sock.sendall(b"E")
                return sock.recv(65536) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_for(closed, "the end of the connection")


def test_idle_clients_are_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_IDLE_SECONDS", SHORT)
    with serving() as running, running.client() as sock:
        sock.sendall(GET)
        assert until_closed(sock).startswith(OK)


def test_a_client_that_does_not_read_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "RESPONSE_SECONDS", SHORT)
    # more than the buffers of both sides can hold
    size = 30_000_000
    with serving("x" * size) as running, running.client() as sock:
        state = running.web._server.server_state
        sock.sendall(GET)
        wait_for(lambda: state.total_requests and not state.connections, "the connection's end")
        assert len(until_closed(sock)) < size


def test_a_client_without_a_tls_handshake_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", SHORT)
    renew(tmp_path, write_certificates(tmp_path))
    tls = WebTLS(cert_file=tmp_path / "server.pem", key_file=tmp_path / "server.key")
    with serving(tls=tls) as running, running.client() as silent:
        assert until_closed(silent) == b""
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_password_check_does_not_delay_other_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, checking a password takes until another request has been answered."""
    compared, answered = threading.Event(), threading.Event()

    def compare(*_: bytes) -> bool:
        compared.set()
        answered.wait(LIMIT_SECONDS)
        return False

    monkeypatch.setattr(bcrypt, "checkpw", compare)
    wrong = b"Authorization: Basic " + base64.b64encode(b"alice:wrong")
    users = Users({"alice": Secret(hashed("right"))})
    with serving(users=users) as running, running.client() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + wrong + b"\r\n\r\n")
        assert compared.wait(LIMIT_SECONDS)
        assert running.ask().startswith(OK)
        answered.set()
        assert until_closed(sock).startswith(b"HTTP/1.1 401 ")


def test_bad_requests_are_logged_at_most_once_per_pause(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as running:
        for _ in range(20):
            answer = running.ask(b"\x16\x03\x01 sent-by-a-visitor\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 ")
        assert running.ask().startswith(OK)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == "bad requests"
    assert record.__dict__["exporter_fields"] == {"count": 1, "detail": "1 malformed"}


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_request_larger_than_16_kb_is_rejected(start: bytes, end: bytes) -> None:
    """With and without its end."""
    with serving() as running, running.client() as sock:
        end = end and (end if b"HTTP" in start else b" HTTP/1.1\r\nHost: x" + end)
        sock.sendall(start + b"x" * 17_000 + end)
        answer = until_closed(sock)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert answer.endswith(b"a request may have at most 16 kB\n")
        allowed = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 16_000 + b"\r\n\r\n"
        assert running.ask(allowed).startswith(OK)


PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
BUSY = b"HTTP/1.1 503 "


@pytest.mark.parametrize("half", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_idle_connections_do_not_lock_out_other_clients(half: bytes) -> None:
    """The oldest connection without a request is closed for a new one."""
    with serving() as running, contextlib.ExitStack() as crowd:
        first = crowd.enter_context(running.client())
        first.sendall(half)
        for _ in range(10 * MOST_CLIENTS):
            crowd.enter_context(running.client()).sendall(half)
        assert until_closed(first) == b""
        assert running.ask().startswith(OK)
        assert running.ask(PAGE).startswith(OK)


@contextlib.contextmanager
def readers(running: Serving, source: str, count: int) -> Iterator[None]:
    """Clients at an address that request a large page and do not read it."""
    state = running.web._server.server_state
    before = state.total_requests
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(running.client(source=source))
            sock.sendall(PAGE)
            assert sock.recv(16)
        wait_for(lambda: state.total_requests == before + count, "all requests are in progress")
        yield


def test_one_client_gets_half_of_the_requests() -> None:
    with serving("x" * 10_000_000) as running, readers(running, "127.0.0.1", 3):
        assert running.ask(PAGE).startswith(BUSY)
        assert running.ask(GET.replace(b"GET", b"HEAD")).startswith(OK)
        assert running.ask(METRICS).startswith(OK)
        assert running.ask(PAGE.replace(b"GET", b"HEAD"), source="127.0.0.2").startswith(OK)
        with readers(running, "127.0.0.2", 2):
            assert running.ask(PAGE, source="127.0.0.3").startswith(BUSY)
            assert running.ask(METRICS, source="127.0.0.3").startswith(OK)
        # a later client is served again
        wait_for(lambda: running.ask(PAGE, source="127.0.0.3").startswith(OK), "a free place")


def test_too_many_connections_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also probes, if no connection without a request can be closed."""
    monkeypatch.setattr(limits, "_SPARE", 2)
    with serving("x" * 10_000_000) as running, readers(running, "127.0.0.1", 3):
        with contextlib.ExitStack() as crowd:
            for _ in range(2):
                sock = crowd.enter_context(running.client())
                sock.sendall(METRICS)
                assert sock.recv(16).startswith(OK)
            assert until_closed(crowd.enter_context(running.client())) == b""
            assert running.ask(source="127.0.0.2").startswith(OK)
        wait_for(lambda: running.ask().startswith(OK), "a free place")
