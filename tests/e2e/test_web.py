"""The HTTP side as a hostile network sees it: TLS, users, methods, half requests, crowds."""

from __future__ import annotations

import base64
import contextlib
import gzip
import socket
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from starlette.responses import PlainTextResponse

from exporter.web import WebServer, open_socket, protocol
from exporter.web.protocol import REQUEST_SECONDS
from exporter.web.status import ASSETS
from tests.support.daemon import Answer, Daemon, daemon
from tests.support.servers import Server, valkey
from tests.support.tls import client_context, renew, write_certificates
from tests.support.users import hashed
from tests.support.waiting import wait_for

ASSET_PATHS = tuple(f"/{asset.path}" for asset in ASSETS)
PATHS = ("/", "/metrics", "/health/redis", "/health/redis/sync", "/health/queues")
OPEN = ("/-/healthy", "/-/ready")


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


class TestTLS:
    @pytest.fixture
    def ca(self, tmp_path: Path) -> trustme.CA:
        ca = write_certificates(tmp_path)
        renew(tmp_path, ca)
        return ca

    def web(self, folder: Path, more: str = "") -> str:
        return f"tls: {{cert_file: {folder}/server.pem, key_file: {folder}/server.key{more}}}"

    def test_every_page(self, redis: Server, ca: trustme.CA, tmp_path: Path) -> None:
        text = config(redis, self.web(tmp_path))
        with daemon(tmp_path, text, context=client_context(ca)) as running:
            for path in (*PATHS, *OPEN):
                wait_for(lambda path=path: running.get(path).status == 200, path)
            running.context = client_context(trustme.CA())
            with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
                running.get("/metrics")
            running.context = None
            with pytest.raises(OSError):  # noqa: PT011 - cut off in one of several ways
                running.get("/metrics")
            assert "Traceback" not in running.log

    def test_only_clients_with_a_certificate(
        self, redis: Server, ca: trustme.CA, tmp_path: Path
    ) -> None:
        text = config(redis, self.web(tmp_path, f", client_ca_file: {tmp_path}/ca.pem"))
        right = client_context(ca, tmp_path / "cert.pem", tmp_path / "key.pem")
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        write_certificates(stranger)
        wrong = client_context(ca, stranger / "cert.pem", stranger / "key.pem")
        with daemon(tmp_path, text, context=right) as running:
            assert running.get("/metrics").status == 200
            for context in (wrong, client_context(ca)):
                running.context = context
                with pytest.raises(OSError):  # noqa: PT011
                    running.get("/metrics")
            running.context = right
            assert running.get("/metrics").status == 200
            # the CA is another one from now on
            (stranger / "ca.pem").replace(tmp_path / "ca.pem")
            with pytest.raises(OSError):  # noqa: PT011
                running.get("/metrics")
            running.context = wrong
            assert running.get("/metrics").status == 200

    def test_a_renewed_certificate(self, redis: Server, ca: trustme.CA, tmp_path: Path) -> None:
        text = config(redis, self.web(tmp_path))
        with daemon(tmp_path, text, context=client_context(ca)) as running:
            first = served(running)
            assert served(running) == first
            (tmp_path / "server.key").write_text("half of it\n")
            assert served(running) == first, "the old one while the new one is not whole"
            assert running.log.count("certificate not renewed") == 1
            renew(tmp_path, ca)
            assert served(running) != first
            assert running.get("/metrics").status == 200
            assert running.log.count("certificate renewed") == 1

    def test_who_does_not_shake_hands_is_cut_off(
        self, redis: Server, ca: trustme.CA, tmp_path: Path
    ) -> None:
        text = config(redis, self.web(tmp_path))
        with daemon(tmp_path, text, context=client_context(ca)) as running:
            with dialled(running) as silent:
                assert cut_off_after(silent) == pytest.approx(REQUEST_SECONDS, abs=2)
            assert "Traceback" not in running.log


def served(running: Daemon) -> bytes | None:
    """The certificate that the server shows now."""
    assert running.context is not None
    with (
        socket.create_connection(("127.0.0.1", running.port), 5) as sock,
        running.context.wrap_socket(sock, server_hostname="127.0.0.1") as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True)


@pytest.fixture(scope="module")
def guarded(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter for alice, of the configuration, and bob, of a file."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users").write_text(f"bob: {hashed('bobs')}\n")
    web = f"basic_auth_users: {{alice: {hashed('pässword')}}}"
    text = config(redis, f"{web}, basic_auth_users_file: {folder}/users")
    with daemon(folder, text) as found:
        yield found


class TestUsers:
    def ask(self, guarded: Daemon, path: str, name: str, password: str) -> Answer:
        encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
        return guarded.get(path, Authorization=f"Basic {encoded}")

    @pytest.mark.parametrize(("name", "password"), [("alice", "pässword"), ("bob", "bobs")])
    def test_right(self, guarded: Daemon, name: str, password: str) -> None:
        for path in (*PATHS, *ASSET_PATHS):
            assert self.ask(guarded, path, name, password).status in (200, 503)
        assert self.ask(guarded, "/nothing", name, password).status == 404

    @pytest.mark.parametrize(
        ("name", "password"), [("alice", "bobs"), ("carol", "bobs"), ("", ""), ("alice", "x" * 99)]
    )
    def test_wrong(self, guarded: Daemon, name: str, password: str) -> None:
        for path in (*PATHS, *ASSET_PATHS, "/nothing"):
            answer = self.ask(guarded, path, name, password)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith('Basic realm="bullmq-exporter"')
            assert b"bullmq_" not in answer.body

    def test_none(self, guarded: Daemon) -> None:
        assert guarded.get("/metrics").status == 401
        assert guarded.get("/metrics", method="HEAD").status == 401
        assert guarded.get("/metrics", method="POST").status == 401

    def test_health_is_open(self, guarded: Daemon) -> None:
        for path in OPEN:
            assert guarded.get(path).status == 200

    def test_pages_wait_for_no_password(self, guarded: Daemon) -> None:
        slowest = max(guarded.get("/-/healthy").seconds for _ in range(20))
        assert slowest < 0.5


class TestAnswers:
    def test_headers(self, running: Daemon) -> None:
        for path in (*PATHS, *OPEN, "/nothing"):
            headers = running.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers.get_all("cache-control") == ["no-store"]
            assert headers["content-security-policy"].startswith("default-src 'none'; style-src")
            assert headers["server"] is None

    def test_nothing_inline_and_nothing_from_elsewhere(self, running: Daemon) -> None:
        policy = running.get("/").headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert rules["img-src"] == "data:"

    def test_files_that_never_change_are_kept(self, running: Daemon) -> None:
        for path in ASSET_PATHS:
            answer = running.get(path)
            assert answer.status == 200
            assert answer.headers.get_all("cache-control") == [
                "private, max-age=31536000, immutable"
            ]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-type"].startswith("text/")
        assert running.get("/static/status.css").status == 404

    def test_the_status_page_is_compressed_on_request(self, running: Daemon) -> None:
        packed = running.get("/", Accept_Encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert b"<h1" in gzip.decompress(packed.body)
        assert packed.headers["vary"] == "Accept-Encoding, Accept"

    def test_a_mistake_in_the_address_is_told(self, running: Daemon) -> None:
        answer = running.get("/?sort=%3Cb%3E")
        assert answer.status == 400
        assert answer.text.startswith("sort: unknown value; use one of name, reason")
        assert answer.headers["content-type"].startswith("text/plain")

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
    def test_other_methods(self, running: Daemon, method: str) -> None:
        for path in (*PATHS, *OPEN):
            answer = running.get(path, method=method)
            assert answer.status == 405
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}

    def test_head_is_get_without_a_body(self, running: Daemon) -> None:
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
            assert self.told(head) == self.told(get)
            length = int(head.headers["content-length"])
            assert length == len(get.body) or (path in PATHS and length > 0)

    def told(self, answer: Answer) -> list[tuple[str, str]]:
        differs = ("date", "content-length")
        return [(name, text) for name, text in answer.headers.items() if name not in differs]

    def test_nothing_follows_the_head(self, running: Daemon) -> None:
        with dialled(running) as sock:
            for path in (*PATHS, *ASSET_PATHS, *OPEN, "/nothing"):
                sock.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                answer = sock.recv(65536)
                assert answer.startswith(b"HTTP/1.1 "), path
                assert answer.endswith(b"\r\n\r\n"), path
                assert answer.count(b"\r\n\r\n") == 1, path

    def test_paths_lead_nowhere_else(self, running: Daemon) -> None:
        for path in ("/metrics/", "//metrics", "/../etc/passwd", "/%2e%2e/metrics", "/METRICS"):
            assert running.get(path).status == 404, path

    @pytest.mark.parametrize("accept", ["", "*/*", "x", "text/html,application/xml;q=0.9,*/*;q=.8"])
    def test_who_accepts_anything_is_served(self, running: Daemon, accept: str) -> None:
        for path in PATHS:
            assert running.get(path, Accept=accept).status in (200, 503)
        served = running.get("/metrics", Accept=accept)
        assert served.headers["content-type"].startswith("text/plain; version=0.0.4")

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "text/csv, application/pdf;q=0.1"])
    def test_who_accepts_nothing_that_there_is(
        self, running: Daemon, method: str, accept: str
    ) -> None:
        for path in PATHS:
            answer = running.get(path, method=method, Accept=accept)
            assert answer.status == 406
            assert "Accept" in answer.headers["vary"]
            assert answer.body == b"" or b"available types: " in answer.body
        for path in OPEN:
            assert running.get(path, method=method, Accept=accept).status == 200

    def test_a_page_of_another_kind(self, running: Daemon) -> None:
        assert running.get("/metrics", Accept="application/json").status == 406
        assert running.get("/health/queues", Accept="text/plain").status == 406
        assert running.get("/", Accept="application/json").status == 406
        answer = running.get("/health/redis", Accept="text/html")
        assert answer.text.startswith("available types: application/json; ")

    def test_accept_in_several_lines(self, running: Daemon) -> None:
        with dialled(running) as sock:
            sock.sendall(
                b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nAccept: image/png\r\n"
                b"Accept: application/openmetrics-text\r\n\r\n"
            )
            assert b"content-type: application/openmetrics-text" in sock.recv(65536)


@contextlib.contextmanager
def dialled(running: Daemon) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), 20) as sock:
        yield sock


def cut_off_after(sock: socket.socket) -> float:
    """Seconds until the server hangs up."""
    start = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return time.monotonic() - start


class TestLimits:
    def test_half_a_request(self, running: Daemon) -> None:
        parts = (
            b"",
            b"GET /met",
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ",
            b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
        )
        start = time.monotonic()
        with contextlib.ExitStack() as clients:
            socks = [clients.enter_context(dialled(running)) for _ in parts]
            for sock, part in zip(socks, parts, strict=True):
                sock.sendall(part)
            for sock in socks:
                cut_off_after(sock)
        assert time.monotonic() - start < REQUEST_SECONDS + 2

    def test_a_byte_now_and_then_does_not_help(self, running: Daemon) -> None:
        start = time.monotonic()
        with dialled(running) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.settimeout(0.5)
            while time.monotonic() - start < 2 * REQUEST_SECONDS:
                sock.sendall(b"G" if time.monotonic() - start < 1 else b"E")
                with contextlib.suppress(TimeoutError):
                    if not sock.recv(65536):
                        break
        assert time.monotonic() - start < REQUEST_SECONDS + 3

    def test_idle_clients_are_let_go(self, running: Daemon) -> None:
        with dialled(running) as sock:
            sock.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert 3 < cut_off_after(sock) < REQUEST_SECONDS

    def test_a_large_head(self, running: Daemon) -> None:
        with dialled(running) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100_000)
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = sock.recv(65536)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")

    @pytest.mark.parametrize("garbage", [b"\0\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 9999])
    def test_garbage(self, running: Daemon, garbage: bytes) -> None:
        with dialled(running) as sock:
            sock.sendall(garbage)
            cut_off_after(sock)
        assert running.get("/-/healthy").status == 200
        assert "Traceback" not in running.log

    def test_bad_requests_are_told_once_a_minute(self, redis: Server, tmp_path: Path) -> None:
        with daemon(tmp_path, config(redis, "max_concurrent_requests: 5")) as running:
            for _ in range(20):
                with dialled(running) as sock:
                    sock.sendall(b"\x16\x03\x01 sent-by-a-visitor\r\n\r\n")
                    assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
            assert running.get("/-/healthy").status == 200
            told = [line for line in running.log.splitlines() if "bad requests" in line]
            assert len(told) == 1
            assert told[0].endswith('bad requests count=1 detail="1 malformed"')
            assert "visitor" not in running.log
            assert "Invalid HTTP request" not in running.log

    def test_garbage_behind_an_answer(self, running: Daemon) -> None:
        head = b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        with dialled(running) as sock:
            sock.sendall(head + b"no chunk\r\n")
            cut_off_after(sock)
        with dialled(running) as sock:
            sock.sendall(head)
            assert sock.recv(65536).startswith(b"HTTP/1.1 405 ")
            sock.sendall(b"no chunk\r\n")
            cut_off_after(sock)
        assert running.get("/-/healthy").status == 200
        assert "Traceback" not in running.log
        assert "Exception" not in running.log

    def test_a_crowd_is_told_to_come_later(self, running: Daemon) -> None:
        with contextlib.ExitStack() as crowd:
            for _ in range(5):
                crowd.enter_context(dialled(running)).sendall(b"GET /")
            answer = running.get("/metrics")
            assert (answer.status, answer.headers["connection"]) == (503, "close")
        wait_for(lambda: running.get("/metrics").status == 200, "room again")

    def test_a_large_crowd_is_not_let_in(self, running: Daemon) -> None:
        with contextlib.ExitStack() as crowd:
            socks = [crowd.enter_context(dialled(running)) for _ in range(150)]
            with contextlib.suppress(ConnectionError):
                socks[-1].settimeout(2)
                assert socks[-1].recv(1) == b""
        wait_for(lambda: reached(running), "room again")

    def test_nothing_a_visitor_sends_reaches_redis(self, running: Daemon, redis: Server) -> None:
        with redis.client().monitor() as monitor:
            for path in PATHS:
                words = "q=sent-by-a-visitor&prefix=visitor"
                running.get(
                    f"{path}?connection=sent-by-a-visitor&{words}", Accept="sent-by-a-visitor"
                )
            redis.client().echo("the end")
            commands = iter(lambda: monitor.next_command()["command"], "ECHO the end")
            assert not [text for text in commands if "visitor" in text]


def reached(running: Daemon) -> bool:
    with contextlib.suppress(OSError):
        return running.get("/metrics").status == 200
    return False


def test_an_exporter_that_is_open_to_all_says_so_once(redis: Server, tmp_path: Path) -> None:
    said = "listening on all interfaces without authentication"
    with daemon(tmp_path, config(redis, ""), listen="0.0.0.0") as running:
        wait_for(lambda: said in running.log, said)
        assert running.log.count(said) == 1
    web = f"basic_auth_users: {{alice: {hashed('x')}}}"
    with daemon(tmp_path, config(redis, web), listen="0.0.0.0") as running:
        assert said not in running.log
    with daemon(tmp_path, config(redis, "")) as running:
        assert said not in running.log


def test_a_client_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "RESPONSE_SECONDS", 1.0)
    app = PlainTextResponse("x" * 50_000_000)
    sock = open_socket("127.0.0.1:0")
    address = sock.getsockname()
    server = WebServer(app, sock, 5, None)
    server.start()
    connections = server._server.server_state.connections
    try:
        with socket.create_connection(address, 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(lambda: connections, "the connection")
            start = time.monotonic()
            wait_for(lambda: not connections, "the end of the connection")
            assert time.monotonic() - start > 0.5
    finally:
        server.stop()
