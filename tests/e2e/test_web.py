"""The HTTP server in a hostile network: TLS, users, methods, invalid and many requests."""

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

from exporter.web.status import ASSETS
from tests.support.daemon import Answer, Daemon, daemon
from tests.support.servers import Server, valkey
from tests.support.tls import client_context, renew, write_certificates
from tests.support.users import hashed
from tests.support.waiting import LIMIT_SECONDS, wait_for
from tests.support.web import paths, until_closed

ASSET_PATHS = tuple(f"/{asset.path}" for asset in ASSETS)
OPEN = ("/-/healthy", "/-/ready")
PATHS = tuple(path for path in paths() if path not in OPEN)


def config(server: Server, web: str) -> str:
    return f'connections: {{api: {{url: "{server.url}"}}}}\nweb: {{{web}}}\n'


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with valkey() as server:
        server.client().hset("bull:mail:meta", "version", "bullmq:5.0.0")
        yield server


@pytest.fixture(scope="module")
def running(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter with at most five concurrent requests."""
    text = config(redis, "max_concurrent_requests: 5")
    with daemon(tmp_path_factory.mktemp("web"), text) as found:
        yield found


def test_every_page_is_served_over_tls(redis: Server, tmp_path: Path) -> None:
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
    """An exporter on all interfaces for the users alice (configuration) and bob (file)."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users").write_text(f"bob: {hashed('bobs')}\n")
    web = f"basic_auth_users: {{alice: {hashed('pässword')}}}"
    text = config(redis, f"{web}, basic_auth_users_file: {folder}/users")
    with daemon(folder, text, listen="0.0.0.0") as found:
        yield found


def get_as(guarded: Daemon, path: str, name: str, password: str) -> Answer:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return guarded.get(path, Authorization=f"Basic {encoded}")


@pytest.mark.parametrize(("name", "password"), [("alice", "pässword"), ("bob", "bobs")])
def test_valid_credentials_are_accepted(guarded: Daemon, name: str, password: str) -> None:
    for path in (*PATHS, *ASSET_PATHS):
        assert get_as(guarded, path, name, password).status in (200, 503)
    assert get_as(guarded, "/nothing", name, password).status == 404


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "bobs"), ("carol", "bobs"), ("", ""), ("alice", "x" * 99)]
)
def test_invalid_credentials_are_rejected(guarded: Daemon, name: str, password: str) -> None:
    for path in (*PATHS, *ASSET_PATHS, "/nothing"):
        answer = get_as(guarded, path, name, password)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith('Basic realm="bullmq-exporter"')
        assert b"bullmq_" not in answer.body


def test_requests_without_credentials_are_rejected(guarded: Daemon) -> None:
    assert guarded.get("/metrics").status == 401
    assert guarded.get("/metrics", method="HEAD").status == 401
    assert guarded.get("/metrics", method="POST").status == 401


def test_probes_need_no_credentials(guarded: Daemon) -> None:
    for path in OPEN:
        assert guarded.get(path).status == 200


def test_only_an_open_exporter_on_all_interfaces_warns(
    redis: Server, guarded: Daemon, running: Daemon, tmp_path: Path
) -> None:
    """Not one with users, and not one that listens only on localhost."""
    said = "listening on all interfaces without authentication"
    with daemon(tmp_path, config(redis, ""), listen="0.0.0.0") as open_:
        wait_for(lambda: said in open_.log, said)
        assert open_.log.count(said) == 1
    for other in (guarded, running):
        wait_for(lambda other=other: "exporter started" in other.log, "it has started")
        assert said not in other.log


def test_security_headers_of_every_response(running: Daemon) -> None:
    for path in (*PATHS, *OPEN, "/nothing"):
        headers = running.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers.get_all("cache-control") == ["no-store"]
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src")
        assert headers["server"] is None


def test_the_content_security_policy_is_strict(running: Daemon) -> None:
    policy = running.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["img-src"] == "data:"


def test_assets_may_be_cached_forever(running: Daemon) -> None:
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


def test_an_invalid_parameter_is_reported(running: Daemon) -> None:
    answer = running.get("/?sort=%3Cb%3E")
    assert answer.status == 400
    assert answer.text.startswith("sort: unknown value; use one of impact, name")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_not_allowed(running: Daemon, method: str) -> None:
    for path in (*PATHS, *OPEN):
        answer = running.get(path, method=method)
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_head_is_get_without_a_body(running: Daemon) -> None:
    """Pages with times may differ in length between two requests."""
    for path in (
        *PATHS,
        *ASSET_PATHS,
        *OPEN,
        "/nothing",
        "/-/reload",
        "/health/redis?connection=unknown",
    ):
        get, head = running.get(path), running.get(path, method="HEAD")
        assert (head.status, head.body) == (get.status, b"")
        assert stable_headers(head) == stable_headers(get)
        length = int(head.headers["content-length"])
        assert length == len(get.body) or (path in PATHS and length > 0)


def stable_headers(answer: Answer) -> list[tuple[str, str]]:
    differs = ("age", "date", "content-length")
    return [(name, text) for name, text in answer.headers.items() if name not in differs]


def test_the_age_of_the_status_page(running: Daemon) -> None:
    """A page of that age is accepted, but not an older one than two polls."""
    first = running.get("/").headers["age"]
    assert 0 <= int(first) <= 1
    again = running.get("/", Cache_Control="max-age=999999999")
    assert int(again.headers["age"]) <= 10


def test_a_head_response_has_no_body(running: Daemon) -> None:
    with connected(running) as sock:
        for path in (*PATHS, *ASSET_PATHS, *OPEN, "/nothing"):
            sock.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = sock.recv(65536)
            assert answer.startswith(b"HTTP/1.1 "), path
            assert answer.endswith(b"\r\n\r\n"), path
            assert answer.count(b"\r\n\r\n") == 1, path


def test_similar_paths_are_not_found(running: Daemon) -> None:
    for path in ("/metrics/", "//metrics", "/../etc/passwd", "/%2e%2e/metrics", "/METRICS"):
        assert running.get(path).status == 404, path


@pytest.mark.parametrize("accept", ["", "*/*", "x", "text/html,application/xml;q=0.9,*/*;q=.8"])
def test_a_client_that_accepts_anything_is_served(running: Daemon, accept: str) -> None:
    for path in PATHS:
        assert running.get(path, Accept=accept).status in (200, 503)
    served = running.get("/metrics", Accept=accept)
    assert served.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "text/csv, application/pdf;q=0.1"])
def test_a_client_that_accepts_no_available_type_gets_406(
    running: Daemon, method: str, accept: str
) -> None:
    for path in PATHS:
        answer = running.get(path, method=method, Accept=accept)
        assert answer.status == 406
        assert "Accept" in answer.headers["vary"]
        assert answer.body == b"" or b"available types: " in answer.body
    for path in OPEN:
        assert running.get(path, method=method, Accept=accept).status == 200


def test_pages_in_an_unavailable_type(running: Daemon) -> None:
    assert running.get("/metrics", Accept="application/json").status == 406
    assert running.get("/health/queues", Accept="text/plain").status == 406
    assert running.get("/", Accept="application/json").status == 406
    answer = running.get("/health/redis", Accept="text/html")
    assert answer.text.startswith("available types: application/json; ")


def test_accept_may_be_split_over_several_lines(running: Daemon) -> None:
    with connected(running) as sock:
        sock.sendall(
            b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nAccept: image/png\r\n"
            b"Accept: application/openmetrics-text\r\n\r\n"
        )
        assert b"content-type: application/openmetrics-text" in sock.recv(65536)


@contextlib.contextmanager
def connected(running: Daemon) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), LIMIT_SECONDS) as sock:
        yield sock


def test_large_request_headers_are_rejected(running: Daemon) -> None:
    with connected(running) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100_000)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = sock.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("garbage", [b"\0\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 9999])
def test_invalid_requests_close_the_connection(running: Daemon, garbage: bytes) -> None:
    with connected(running) as sock:
        sock.sendall(garbage)
        until_closed(sock)
    assert running.get("/-/healthy").status == 200
    assert "Traceback" not in running.log


def test_an_invalid_request_after_a_response(running: Daemon) -> None:
    head = b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(running) as sock:
        sock.sendall(head + b"no chunk\r\n")
        until_closed(sock)
    with connected(running) as sock:
        sock.sendall(head)
        assert sock.recv(65536).startswith(b"HTTP/1.1 405 ")
        sock.sendall(b"no chunk\r\n")
        until_closed(sock)
    assert running.get("/-/healthy").status == 200
    assert "Traceback" not in running.log
    assert "Exception" not in running.log


def test_idle_clients_do_not_block_requests(running: Daemon) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(60):
            crowd.enter_context(connected(running)).sendall(b"GET /")
        for path in ("/-/healthy", "/-/ready", "/metrics", "/"):
            assert running.get(path).status == 200


def test_no_part_of_a_request_reaches_redis(running: Daemon, redis: Server) -> None:
    with redis.client().monitor() as monitor:
        for path in PATHS:
            words = "q=sent-by-a-visitor&prefix=visitor"
            more = "&" if "?" in path else "?"
            running.get(
                f"{path}{more}connection=sent-by-a-visitor&{words}", Accept="sent-by-a-visitor"
            )
        redis.client().echo("the end")
        commands = iter(lambda: monitor.next_command()["command"], "ECHO the end")
        assert not [text for text in commands if "visitor" in text]
