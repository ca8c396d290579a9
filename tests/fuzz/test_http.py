"""Requests of any bytes to the real server: no 500, no hang, and the server keeps serving."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.loader import load
from exporter.config.secret import Secret
from exporter.exposition import Renderer, acceptable, accepts_gzip, choose_format
from exporter.state.store import SnapshotStore
from exporter.web import Users, WebServer, application, open_socket
from exporter.web.auth import parse_basic
from exporter.web.endpoints import ENDPOINTS
from tests.support.fuzzing.profile import fuzz
from tests.support.waiting import LIMIT_SECONDS

STATUSES = {200, 400, 403, 404, 405, 406, 431, 503}
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")
QUIET_SECONDS = 0.03
"""After this long without data, the server is waiting for the rest of the request."""


class Errors(logging.Handler):
    """Records logged errors: tracebacks of handlers and of the event loop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))


Running = tuple[tuple[str, int], Errors]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    config = load(None, {"REDIS_URL": "redis://127.0.0.1:1/0"})
    store = SnapshotStore(["default"])
    renderer = Renderer(store, lambda: config)
    renderer.start()
    app = application(lambda: config, store, renderer, Users({}), Future, lambda: None)
    sock = open_socket("127.0.0.1:0")
    server = WebServer(app, sock, 40, None)
    errors = Errors()
    logging.getLogger().addHandler(errors)
    address = sock.getsockname()[:2]
    server.start()
    yield address, errors
    server.stop()
    renderer.stop()
    logging.getLogger().removeHandler(errors)


def response_to(
    address: tuple[str, int], parts: list[bytes], quiet: float = QUIET_SECONDS
) -> bytes:
    """Everything received until this long without data; the client then disconnects."""
    answer = b""
    with (
        socket.create_connection(address, LIMIT_SECONDS) as sock,
        contextlib.suppress(ConnectionError),
    ):
        for part in parts:
            sock.sendall(part)
        sock.settimeout(quiet)
        with contextlib.suppress(TimeoutError):
            while more := sock.recv(1 << 16):
                answer += more
    return answer


methods = st.sampled_from(
    [b"GET", b"HEAD", b"POST", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"", b"PRI", b"G\0T"]
)
targets = st.sampled_from(
    [each.path.encode() for each in ENDPOINTS]
    + [b"/queue?name=%ff", b"/health/queue?name=%00&prefix=", b"/scale?queue=x&drain_seconds=%ff"]
    + [b"*", b"http://x/metrics", b"/%", b"/%00", b"/%ff", b"//", b"/.."]
    + [b"/health/redis?connection=%ff", b"/health/redis?connection=default", b"/?" + b"x" * 9000]
) | st.binary(max_size=12)
versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"FTP/1.1"])
headers = st.tuples(
    st.sampled_from(
        [b"Host", b"Accept", b"Accept-Encoding", b"Authorization", b"Connection", b"Upgrade"]
        + [
            b"Content-Length",
            b"Transfer-Encoding",
            b"Expect",
            b"Range",
            b"Cookie",
            b"X-Y",
            b"Host ",
        ]
    ),
    st.sampled_from(
        [
            b"x",
            b"*/*",
            b"text/plain;q=0",
            b"gzip;q=0, *",
            b"close",
            b"keep-alive, Upgrade",
            b"chunked",
        ]
        + [
            b"websocket",
            b"h2c",
            b"100-continue",
            b"5",
            b"-1",
            b"99999999999999999999",
            b"1, 2",
            b"",
        ]
        + [b"Basic Og==", b"Basic \xff", b"bytes=0-1", b"a" * 20_000, b"application/json"]
    )
    | st.binary(max_size=10),
).map(b": ".join)
requests = st.tuples(
    st.tuples(methods, targets, versions).map(b" ".join),
    st.lists(headers, max_size=4).map(lambda lines: b"\r\n".join([b"Host: x", *lines])),
    st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"0\r\nX: y\r\n\r\n"]),
).map(lambda parts: parts[0] + b"\r\n" + parts[1] + b"\r\n\r\n" + parts[2])
streams = st.lists(requests | st.binary(max_size=40), min_size=1, max_size=3)


@fuzz(4)
@given(streams, st.integers(0, 3))
def test_requests(running: Running, parts: list[bytes], cut: int) -> None:
    address, errors = running
    sent = b"".join(parts)
    pieces = [sent[: cut * 20], sent[cut * 20 :]] if cut else parts
    statuses = {int(code) for code in STATUS_LINE.findall(response_to(address, pieces))}
    assert statuses <= STATUSES
    healthy = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    if len(sent) % 8 == 0:
        assert response_to(address, [healthy], LIMIT_SECONDS).startswith(b"HTTP/1.1 200 ")
    assert errors.found == []


accepts = st.lists(
    st.sampled_from(
        [
            "text/plain",
            "*/*",
            "text/*",
            "application/openmetrics-text",
            ";version=0.0.4",
            ";q=0",
            "q",
        ]
        + [";q=0.5", ";q=nan", ";q=1e9", ",", ";", "=", '"', "application/json", "gzip", "identity"]
    )
    | st.text(max_size=5),
    max_size=8,
).map("".join)


@fuzz(6)
@given(accepts)
def test_accept_headers(header: str) -> None:
    choose_format(header)
    acceptable(header, "application/json")
    accepts_gzip(header)


HASH = Secret(bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode())
credentials = st.binary(max_size=90).map(lambda raw: b64encode(raw).decode()) | st.tuples(
    st.sampled_from([b"alice", b"", b"\xff"]), st.binary(max_size=90) | st.just(b"right\0")
).map(lambda pair: b64encode(b":".join(pair)).decode())


@fuzz(5)
@given(st.sampled_from(["Basic ", "basic  ", "Bearer ", ""]), credentials | st.text(max_size=20))
def test_credentials(scheme: str, text: str) -> None:
    parse_basic(scheme + text)


@pytest.fixture(scope="module")
def users() -> Users:
    return Users({"alice": HASH})


@fuzz(1)
@given(credentials)
def test_only_the_right_password_is_accepted(users: Users, text: str) -> None:
    right = parse_basic(f"Basic {text}") == ("alice", b"right")
    assert asyncio.run(users.authenticate(f"Basic {text}")) is right
