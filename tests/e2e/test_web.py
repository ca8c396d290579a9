"""The HTTP side as a hostile network sees it: TLS, users, methods, garbage, crowds."""

from __future__ import annotations

import base64
import contextlib
import gzip
import socket
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from exporter.web.endpoints import ENDPOINTS
from exporter.web.status import ASSETS
from tests.support.daemon import Answer, Daemon, daemon
from tests.support.servers import Server, valkey
from tests.support.tls import client_context, renew, write_certificates
from tests.support.users import hashed
from tests.support.waiting import LIMIT_SECONDS, wait_for
from tests.support.web import until_closed

ASSET_PATHS = tuple(f"/{asset.path}" for asset in ASSETS)
OPEN = ("/-/healthy", "/-/ready")
PATHS = tuple(each.path for each in ENDPOINTS if each.method == "GET" and each.path not in OPEN)


def config(server: Server, web: str) -> str:
    return f'connections: {{api: {{url: "{server.url}"}}}}\nweb: {{{web}}}\n'


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with valkey() as server:
        yield server


@pytest.fixture(scope="module")
def running(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter that serves at most five at a time."""
    text = config(redis, "max_concurrent_requests: 5")
    with daemon(tmp_path_factory.mktemp("web"), text) as found:
        yield found


def test_every_page_over_tls(redis: Server, tmp_path: Path) -> None:
    ca = write_certificates(tmp_path)
    renew(tmp_path, ca)
    web = f"tls: {{cert_file: {tmp_path}/server.pem, key_file: {tmp_path}/server.key}}"
    with daemon(tmp_path, config(redis, web), context=client_context(ca)) as running:
        for path in (*PATHS, *OPEN):
            wait_for(lambda path=path: running.get(path).status == 200, path)
        running.context = client_context(trustme.CA())
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            running.get("/metrics")
        running.context = None
        with pytest.raises(OSError):  # noqa: PT011 - cut off in one of several ways
            running.get("/metrics")
        assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def guarded(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter on all networks for alice, of the configuration, and bob, of a file."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users").write_text(f"bob: {hashed('bobs')}\n")
    web = f"basic_auth_users: {{alice: {hashed('pässword')}}}"
    text = config(redis, f"{web}, basic_auth_users_file: {folder}/users")
    with daemon(folder, text, listen="0.0.0.0") as found:
        yield found


def ask(guarded: Daemon, path: str, name: str, password: str) -> Answer:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return guarded.get(path, Authorization=f"Basic {encoded}")


@pytest.mark.parametrize(("name", "password"), [("alice", "pässword"), ("bob", "bobs")])
def test_who_may_look(guarded: Daemon, name: str, password: str) -> None:
    for path in (*PATHS, *ASSET_PATHS):
        assert ask(guarded, path, name, password).status in (200, 503)
    assert ask(guarded, "/nothing", name, password).status == 404


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "bobs"), ("carol", "bobs"), ("", ""), ("alice", "x" * 99)]
)
def test_who_may_not_look(guarded: Daemon, name: str, password: str) -> None:
    for path in (*PATHS, *ASSET_PATHS, "/nothing"):
        answer = ask(guarded, path, name, password)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith('Basic realm="bullmq-exporter"')
        assert b"bullmq_" not in answer.body


def test_without_a_password(guarded: Daemon) -> None:
    assert guarded.get("/metrics").status == 401
    assert guarded.get("/metrics", method="HEAD").status == 401
    assert guarded.get("/metrics", method="POST").status == 401


def test_health_is_open(guarded: Daemon) -> None:
    for path in OPEN:
        assert guarded.get(path).status == 200


def test_only_who_is_open_to_all_says_so(
    redis: Server, guarded: Daemon, running: Daemon, tmp_path: Path
) -> None:
    """Neither with users, nor on this machine alone."""
    said = "listening on all interfaces without authentication"
    with daemon(tmp_path, config(redis, ""), listen="0.0.0.0") as open_:
        wait_for(lambda: said in open_.log, said)
        assert open_.log.count(said) == 1
    for other in (guarded, running):
        wait_for(lambda other=other: "exporter started" in other.log, "it has started")
        assert said not in other.log


def test_headers_of_every_answer(running: Daemon) -> None:
    for path in (*PATHS, *OPEN, "/nothing"):
        headers = running.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers.get_all("cache-control") == ["no-store"]
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src")
        assert headers["server"] is None


def test_nothing_inline_and_nothing_from_elsewhere(running: Daemon) -> None:
    policy = running.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["img-src"] == "data:"


def test_files_that_never_change_are_kept(running: Daemon) -> None:
    for path in ASSET_PATHS:
        answer = running.get(path)
        assert answer.status == 200
        assert answer.headers.get_all("cache-control") == ["private, max-age=31536000, immutable"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith("text/")
    assert running.get("/static/status.css").status == 404


def test_the_status_page_is_compressed_on_request(running: Daemon) -> None:
    packed = running.get("/", Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert b"<h1" in gzip.decompress(packed.body)
    assert packed.headers["vary"] == "Accept-Encoding, Accept"


def test_a_mistake_in_the_address_is_told(running: Daemon) -> None:
    answer = running.get("/?sort=%3Cb%3E")
    assert answer.status == 400
    assert answer.text.startswith("sort: unknown value; use one of impact, name")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods(running: Daemon, method: str) -> None:
    for path in (*PATHS, *OPEN):
        answer = running.get(path, method=method)
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_head_is_get_without_a_body(running: Daemon) -> None:
    """Pages that differ from second to second may differ in length."""
    for path in (
        *PATHS,
        *ASSET_PATHS,
        *OPEN,
        "/nothing",
        "/-/reload",
        "/health/redis?connection=nobody",
    ):
        get, head = running.get(path), running.get(path, method="HEAD")
        assert (head.status, head.body) == (get.status, b"")
        assert told(head) == told(get)
        length = int(head.headers["content-length"])
        assert length == len(get.body) or (path in PATHS and length > 0)


def told(answer: Answer) -> list[tuple[str, str]]:
    differs = ("date", "content-length")
    return [(name, text) for name, text in answer.headers.items() if name not in differs]


def test_nothing_follows_the_head(running: Daemon) -> None:
    with dialled(running) as sock:
        for path in (*PATHS, *ASSET_PATHS, *OPEN, "/nothing"):
            sock.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = sock.recv(65536)
            assert answer.startswith(b"HTTP/1.1 "), path
            assert answer.endswith(b"\r\n\r\n"), path
            assert answer.count(b"\r\n\r\n") == 1, path


def test_paths_lead_nowhere_else(running: Daemon) -> None:
    for path in ("/metrics/", "//metrics", "/../etc/passwd", "/%2e%2e/metrics", "/METRICS"):
        assert running.get(path).status == 404, path


@pytest.mark.parametrize("accept", ["", "*/*", "x", "text/html,application/xml;q=0.9,*/*;q=.8"])
def test_who_accepts_anything_is_served(running: Daemon, accept: str) -> None:
    for path in PATHS:
        assert running.get(path, Accept=accept).status in (200, 503)
    served = running.get("/metrics", Accept=accept)
    assert served.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "text/csv, application/pdf;q=0.1"])
def test_who_accepts_nothing_that_there_is(running: Daemon, method: str, accept: str) -> None:
    for path in PATHS:
        answer = running.get(path, method=method, Accept=accept)
        assert answer.status == 406
        assert "Accept" in answer.headers["vary"]
        assert answer.body == b"" or b"available types: " in answer.body
    for path in OPEN:
        assert running.get(path, method=method, Accept=accept).status == 200


def test_a_page_of_another_kind(running: Daemon) -> None:
    assert running.get("/metrics", Accept="application/json").status == 406
    assert running.get("/health/queues", Accept="text/plain").status == 406
    assert running.get("/", Accept="application/json").status == 406
    answer = running.get("/health/redis", Accept="text/html")
    assert answer.text.startswith("available types: application/json; ")


def test_accept_in_several_lines(running: Daemon) -> None:
    with dialled(running) as sock:
        sock.sendall(
            b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nAccept: image/png\r\n"
            b"Accept: application/openmetrics-text\r\n\r\n"
        )
        assert b"content-type: application/openmetrics-text" in sock.recv(65536)


@contextlib.contextmanager
def dialled(running: Daemon) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), LIMIT_SECONDS) as sock:
        yield sock


def test_a_large_head(running: Daemon) -> None:
    with dialled(running) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100_000)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = sock.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("garbage", [b"\0\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 9999])
def test_garbage(running: Daemon, garbage: bytes) -> None:
    with dialled(running) as sock:
        sock.sendall(garbage)
        until_closed(sock)
    assert running.get("/-/healthy").status == 200
    assert "Traceback" not in running.log


def test_garbage_behind_an_answer(running: Daemon) -> None:
    head = b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with dialled(running) as sock:
        sock.sendall(head + b"no chunk\r\n")
        until_closed(sock)
    with dialled(running) as sock:
        sock.sendall(head)
        assert sock.recv(65536).startswith(b"HTTP/1.1 405 ")
        sock.sendall(b"no chunk\r\n")
        until_closed(sock)
    assert running.get("/-/healthy").status == 200
    assert "Traceback" not in running.log
    assert "Exception" not in running.log


def test_a_crowd_that_asks_for_nothing(running: Daemon) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(60):
            crowd.enter_context(dialled(running)).sendall(b"GET /")
        for path in ("/-/healthy", "/-/ready", "/metrics", "/"):
            assert running.get(path).status == 200


def test_nothing_a_visitor_sends_reaches_redis(running: Daemon, redis: Server) -> None:
    with redis.client().monitor() as monitor:
        for path in PATHS:
            words = "q=sent-by-a-visitor&prefix=visitor"
            running.get(f"{path}?connection=sent-by-a-visitor&{words}", Accept="sent-by-a-visitor")
        redis.client().echo("the end")
        commands = iter(lambda: monitor.next_command()["command"], "ECHO the end")
        assert not [text for text in commands if "visitor" in text]
