"""`bullmq-exporter check`: output and exit codes on real servers."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from exporter.check.permissions import PERMISSIONS
from tests.support.command import command
from tests.support.redis_data import add_queues
from tests.support.servers import Server, free_port, redis_server, valkey
from tests.support.tls import TLSFront, renew, write_certificates


def checked(*arguments: str, **environ: str) -> tuple[int, dict[str, Any]]:
    done = command("check", "--json", *arguments, **environ)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def steps(report: dict[str, Any], name: str = "default") -> dict[str, tuple[str, str]]:
    found = report["connections"][name]["steps"]
    return {step["name"]: (step["outcome"], step["detail"]) for step in found}


def test_connections_without_problems(redis7_server: Server) -> None:
    add_queues(redis7_server.client(), "mail")
    worker = redis7_server.url.replace("127.0.0.1", "localhost")
    done = command("check", REDIS_URL_API=redis7_server.url, REDIS_URL_WORKER=worker)
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    for name in ("configuration", "name", "tcp", "client", "login", "latency", "identity"):
        assert f"  ok    {name}" in done.stdout
    for name in ("permissions", "eviction", "queues"):
        assert f"  ok    {name}" in done.stdout
    assert "bull: 1 waiting (queue keys: 1 meta, 1 id, 0 st" in done.stdout
    assert "  ok    api → worker" in done.stdout
    assert "  ok    cleanup        all keys are deleted, as every reader confirms" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        "OK: every connection sees what the others write; "
        "but No worker connected: bull:mail on api (1 pending)"
    )
    assert redis7_server.client().keys("bullmq-exporter:*") == []


def test_connections_to_two_servers(server: Server) -> None:
    with valkey() as other:
        done = command("check", REDIS_URL_API=server.url, REDIS_URL_WORKER=other.url)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("NOT OK: api and worker reach different Redis servers: run_id ")
    assert f"at host 127.0.0.1:{server.port}/0" in last
    assert f"at host 127.0.0.1:{other.port}/0" in last
    assert "FAIL  same_database: different servers" in done.stdout


def test_connections_to_two_databases(server: Server) -> None:
    other = server.url.replace("/0", "/5")
    code, report = checked(REDIS_URL_API=server.url, REDIS_URL_WORKER=other)
    assert code == 1
    assert report["verdict"].startswith(
        "NOT OK: api and worker reach the same Redis server but different databases: db 0 and db 5"
    )


def test_check_one_connection(server: Server) -> None:
    dead = f"redis://127.0.0.1:{free_port()}"
    environ = {"REDIS_URL_API": server.url, "REDIS_URL_WORKER": dead}
    code, report = checked("--connection", "api", **environ)
    assert code == 0
    assert list(report["connections"]) == ["api"]
    assert report["verdict"].startswith("OK: Redis reached, no queues, eviction safe; ")
    code, report = checked("--connection", "worker", **environ)
    assert code == 1
    assert report["verdict"].startswith("NOT OK: worker fails at tcp: 127.0.0.1:")


def test_an_unknown_connection_is_a_usage_error(server: Server) -> None:
    done = command("check", "--connection", "x", REDIS_URL_API=server.url)
    assert done.returncode == 2
    assert done.stderr == "bullmq-exporter: unknown connection x; available: api\n"


def test_an_unresolvable_host_name() -> None:
    code, report = checked(REDIS_URL="redis://redis.invalid:6379")
    assert code == 1
    assert steps(report)["name"][0] == "failed"
    assert "tcp" not in steps(report)


def test_a_wrong_password_is_not_shown(guarded: str) -> None:
    done = command("check", REDIS_URL=f"redis://:wr0ng-s3cret@{guarded}/0")
    assert done.returncode == 1
    assert "NOT OK: default fails at login: auth: " in done.stdout
    assert "wr0ng-s3cret" not in done.stdout + done.stderr


def test_queues_under_another_prefix(redis7_server: Server) -> None:
    client = redis7_server.client()
    client.hset("bullmq:mail:meta", mapping={"opts.maxLenEvents": 10000, "version": "bullmq:6.7.0"})
    client.hset("bullmq:images:meta", mapping={"opts.maxLenEvents": 10000})
    client.hset("shop:order:1:meta", mapping={"name": "not a queue"})
    code, report = checked(REDIS_URL=redis7_server.url)
    assert code == 0
    assert steps(report)["queues"] == (
        "warning",
        "none under bull: but queues under bullmq: (2); set queues.prefixes",
    )


def test_an_unsafe_eviction_policy_fails() -> None:
    with valkey("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        code, report = checked(REDIS_URL=server.url)
    assert code == 1
    assert steps(report)["eviction"][0] == "failed"
    assert "set it to noeviction" in report["verdict"]


class TestPermissions:
    @pytest.fixture
    def url(self, server: Server) -> Iterator[str]:
        yield f"redis://monitor:pw@127.0.0.1:{server.port}/0"
        server.client().acl_deluser("monitor")

    def test_refused_commands_and_their_cost(self, server: Server, url: str) -> None:
        rules = ("reset", "on", ">pw", "~*", "+@all", "-xlen", "-client|id")
        server.client().execute_command("ACL", "SETUSER", "monitor", *rules)
        done = command("check", REDIS_URL=url)
        total = sum(not permission.cluster for permission in PERMISSIONS)
        assert done.returncode == 0
        assert f"  warn  permissions    2 of {total} commands are refused" in done.stdout
        assert "xlen is refused; missing: bullmq_queue_events_stream_length" in done.stdout
        assert "client|id is refused" in done.stdout

    def test_the_sync_test_is_not_permitted(self, server: Server, url: str) -> None:
        rules = ("reset", "on", ">pw", "~*", "+@all", "-@write")
        server.client().execute_command("ACL", "SETUSER", "monitor", *rules)
        add_queues(server.client(), "mail")
        done = command("check", REDIS_URL=url)
        assert done.returncode == 0
        assert "  warn  default → default not tested" in done.stdout
        assert "OK: Redis reached, 1 queue, eviction safe; the sync test is not " in done.stdout


@contextlib.contextmanager
def stranger(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that answers each connection with this function."""

    class Stranger(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as listener:
        listener.daemon_threads = True
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield listener.server_address[1]
        listener.shutdown()


@pytest.mark.parametrize(
    ("banner", "shown", "name"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "H", "an HTTP server"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "S", "an SSH server"),
        (b"ERROR\r\n", "E", "memcached"),
        (b"J\0\0\0\n8.0.36\0", "J", "MySQL or MariaDB"),
    ],
)
def test_a_server_that_is_no_redis(banner: bytes, shown: str, name: str) -> None:
    def answer(sock: socket.socket) -> None:
        sock.sendall(banner)
        sock.recv(1000)

    with stranger(answer) as port:
        code, report = checked(REDIS_URL=f"redis://127.0.0.1:{port}/0")
    assert code == 1
    assert report["verdict"].endswith(
        f'got "{shown}" as reply type byte: a server answers at 127.0.0.1:{port}, '
        f"but not as Redis does; check host and port: this is {name}, not Redis"
    )


def test_a_port_of_postgresql() -> None:
    """It closes the connection without a word unless it is asked whether it has TLS."""

    def answer(sock: socket.socket) -> None:
        if sock.recv(1000) == bytes.fromhex("0000000804d2162f"):
            sock.sendall(b"N")

    with stranger(answer) as port:
        code, report = checked(REDIS_URL=f"redis://127.0.0.1:{port}/0")
        assert code == 1
        assert report["verdict"].endswith(": this is PostgreSQL, not Redis")
        _, report = checked(REDIS_URL=f"rediss://127.0.0.1:{port}/0")
        assert report["verdict"].endswith("; this is PostgreSQL, not Redis; check host and port")


def test_what_a_server_answers_cannot_change_the_terminal() -> None:
    def answer(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall("-NOAUTH \x1b[2J\x9b1;31m[red]no\r\n".encode() * 5)

    with stranger(answer) as port:
        done = command("check", REDIS_URL=f"redis://127.0.0.1:{port}/0")
    assert done.returncode == 1
    assert "[red]no" in done.stdout
    assert not set("\x1b\x9b") & set(done.stdout)


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with valkey("--requirepass", "right") as server:
        yield f"127.0.0.1:{server.port}"


class TestLogin:
    def verdict(self, url: str) -> str:
        code, report = checked(REDIS_URL=url)
        assert code == 1
        return str(report["verdict"])

    def test_no_password(self, guarded: str) -> None:
        remedy = f"this Redis requires a password: redis://:PASSWORD@{guarded}, or password_file"
        assert self.verdict(f"redis://{guarded}").endswith(remedy)

    def test_a_user_without_password(self, guarded: str) -> None:
        """The user may be the password, without the colon before it."""
        found = self.verdict(f"redis://right@{guarded}")
        assert found.endswith(f"a password alone follows a colon: redis://:PASSWORD@{guarded}")
        assert "right" not in found

    def test_a_wrong_password(self, guarded: str) -> None:
        found = self.verdict(f"redis://:wrong@{guarded}")
        assert "disabled: the password of the default user is another one; " in found
        found = self.verdict(f"redis://joe:right@{guarded}")
        assert "disabled: the user does not exist, is off, or has another password; " in found

    def test_a_password_that_is_not_needed(self, server: Server) -> None:
        found = self.verdict(f"redis://:x@127.0.0.1:{server.port}")
        assert found.endswith(": this Redis has no password; remove it from the URL")

    def test_a_user_that_is_not_needed(self, server: Server) -> None:
        code, report = checked(REDIS_URL=f"redis://joe@127.0.0.1:{server.port}")
        assert code == 0
        outcome, detail = steps(report)["login"]
        assert outcome == "warning"
        assert detail.startswith("as default, database 0; there is a user but no password, ")

    def test_no_such_database(self, server: Server) -> None:
        found = self.verdict(f"redis://127.0.0.1:{server.port}/99")
        assert "DB index is out of range: this Redis has no database 99" in found


class TestDatabases:
    def test_queues_in_database_0(self, redis7_server: Server) -> None:
        add_queues(redis7_server.client(), "mail", "sms")
        code, report = checked(REDIS_URL=redis7_server.url.replace("/0", "/5"))
        assert code == 0
        assert steps(report)["queues"] == (
            "warning",
            "none under bull: in database 5, but database 0 has queues under bull: (2): use 0 "
            "here, or correct the connection of BullMQ, which ignores a URL that is a string, "
            "before 5.13.1 also `{url}`, and then uses database 0 of 127.0.0.1:6379",
        )

    def test_queues_in_another_database(self, server: Server) -> None:
        add_queues(redis.Redis(port=server.port, db=3), "mail", prefix="jobs")
        server.client().set("session:1", "x")
        code, report = checked(REDIS_URL=server.url)
        assert code == 0
        assert steps(report)["queues"][1] == (
            "none under bull: in database 0, but database 3 has queues under jobs: (1): correct "
            "the number at the end of the URL, which is 0"
        )


def test_one_healthy_redis(server: Server) -> None:
    client = server.client()
    add_queues(client, "mail", "sms")
    client.delete("bull:mail:wait", "bull:sms:wait")
    done = command("check", REDIS_URL=server.url)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "OK: Redis reached, 2 queues, eviction safe"


def test_the_json_has_a_stable_shape(server: Server) -> None:
    """Documented in docs/operations.md."""
    _, report = checked(REDIS_URL=server.url)
    assert list(report) == ["ok", "verdict", "findings", "connections", "pairs", "metadata"]
    assert list(report["connections"]["default"]) == ["url", "steps"]
    for step in report["connections"]["default"]["steps"]:
        assert list(step) == ["name", "outcome", "detail", "data", "notes"]
        assert step["outcome"] in ("ok", "warning", "failed")
    assert {"writer", "reader", "passed", "verdict"} <= set(report["pairs"][0])
    assert [step["name"] for step in report["connections"]["default"]["steps"]] == [
        *("configuration", "name", "tcp", "client", "login", "latency", "identity"),
        *("permissions", "eviction", "queues"),
    ]


def test_a_long_line_is_one_line_in_a_pipe(server: Server) -> None:
    client = server.client()
    for number in range(30):
        client.hset(f"other-prefix-{number}:mail:meta", "opts.maxLenEvents", 10000)
    done = command("check", REDIS_URL=server.url)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  warn  queues")]
    assert line.endswith("; set queues.prefixes")
    assert len(line) > 300


def test_a_missing_unix_socket(tmp_path: Path) -> None:
    code, report = checked(REDIS_URL=f"unix://{tmp_path}/redis.sock")
    assert code == 1
    assert steps(report)["socket"][0] == "failed"


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ("cluster: true", "is not a cluster node; remove cluster: true"),
        (
            "sentinel: {master: main, nodes: ['127.0.0.1:PORT']}",
            ": this is a Redis, not a sentinel; sentinels usually listen on port 26379",
        ),
        (
            "sentinel: {master: main, nodes: ['127.0.0.1:1']}",
            ": nothing listens there; sentinels usually listen on port 26379",
        ),
    ],
)
def test_a_server_that_is_neither_a_cluster_nor_a_sentinel(
    server: Server, tmp_path: Path, more: str, remedy: str
) -> None:
    file = tmp_path / "config.yaml"
    more = more.replace("PORT", str(server.port))
    file.write_text(f"connections: {{default: {{url: '{server.url}', {more}}}}}")
    code, report = checked("--config", str(file))
    assert code == 1
    assert report["verdict"].endswith(remedy)


@contextlib.contextmanager
def tls_server(folder: Path, clients: str, *options: str) -> Iterator[int]:
    """The TLS port of a Redis; `clients` is its `tls-auth-clients`, `yes` or `no`."""
    port = free_port()
    words = ("--tls-port", str(port), "--tls-auth-clients", clients)
    words += ("--tls-cert-file", f"{folder}/server.pem", "--tls-key-file", f"{folder}/server.key")
    with redis_server(*words, "--tls-ca-cert-file", f"{folder}/ca.pem", *options):
        yield port


class TestTLS:
    def check(self, folder: Path, front: TLSFront, tls: str) -> tuple[int, dict[str, Any]]:
        file = folder / "config.yaml"
        file.write_text(f'connections: {{default: {{url: "{front.url}", tls: {{{tls}}}}}}}')
        return checked("--config", str(file))

    def test_a_trusted_certificate(self, server: Server, tmp_path: Path) -> None:
        ca = write_certificates(tmp_path)
        front = TLSFront(server, ca, "redis.example", client_ca=False)
        tls = f"ca_file: {tmp_path}/ca.pem, server_name: redis.example"
        code, report = self.check(tmp_path, front, tls)
        assert code == 0, report["verdict"]
        outcome, detail = steps(report)["tls"]
        assert outcome == "ok"
        assert detail.startswith("TLSv1.3, certificate for redis.example valid until ")
        front.close()

    def test_an_untrusted_certificate(self, server: Server, tmp_path: Path) -> None:
        front = TLSFront(server, write_certificates(tmp_path), "127.0.0.1", client_ca=False)
        code, report = self.check(tmp_path, front, "")
        assert code == 1
        assert report["verdict"].startswith("NOT OK: default fails at tls: certificate rejected")
        assert "tls.ca_file" in report["verdict"]
        front.close()

    def test_a_redis_url_of_a_tls_port_names_the_remedy(self, tmp_path: Path) -> None:
        """Also if the server requires client certificates, as Redis does by default."""
        renew(tmp_path, write_certificates(tmp_path))
        for clients in ("yes", "no"):
            with tls_server(tmp_path, clients) as port:
                code, report = checked(REDIS_URL=f"redis://127.0.0.1:{port}/0")
            assert code == 1
            remedy = f"this is a TLS port; use rediss://127.0.0.1:{port}"
            assert report["verdict"].endswith(remedy)

    @pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
    def test_a_server_that_requires_a_client_certificate(
        self, tmp_path: Path, protocol: str
    ) -> None:
        ca = write_certificates(tmp_path)
        renew(tmp_path, ca)
        file = tmp_path / "config.yaml"

        def check(more: str) -> tuple[int, dict[str, Any]]:
            tls = f"ca_file: {tmp_path}/ca.pem{more}"
            url = f"rediss://127.0.0.1:{port}/0"
            file.write_text(f'connections: {{default: {{url: "{url}", tls: {{{tls}}}}}}}')
            return checked("--config", str(file))

        other = tmp_path / "other"
        other.mkdir()
        write_certificates(other)
        with tls_server(tmp_path, "yes", "--tls-protocols", protocol) as port:
            code, report = check("")
            assert code == 1
            remedy = "the server requires a client certificate; set tls.cert_file and tls.key_file"
            assert report["verdict"].endswith(remedy)
            code, report = check(f", cert_file: {other}/cert.pem, key_file: {other}/key.pem")
            assert code == 1
            assert "the server rejects the client certificate" in report["verdict"]
            code, report = check(f", cert_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem")
            assert code == 0, report["verdict"]

    def test_a_server_without_tls(self, server: Server, tmp_path: Path) -> None:
        """The server waits for the rest of a command, so the handshake times out."""
        url = server.url.replace("redis:", "rediss:")
        file = tmp_path / "config.yaml"
        file.write_text(f"connections: {{default: {{url: '{url}', connect_timeout_seconds: 0.5}}}}")
        code, report = checked("--config", str(file))
        assert code == 1
        assert steps(report)["tls"][0] == "failed"
        remedy = f"this port answers without TLS; use {server.url[:-2]}, or the server's TLS port"
        assert report["verdict"].endswith(remedy)
