"""`bullmq-exporter check`: output and exit codes on real servers."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
    assert report["verdict"].startswith("OK: api sees what it writes; add the other services'")
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


def test_a_wrong_password() -> None:
    with valkey("--requirepass", "right") as server:
        url = f"redis://:wr0ng-s3cret@127.0.0.1:{server.port}/0"
        done = command("check", REDIS_URL=url)
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
        assert "OK: the sync test is not permitted" in done.stdout


@pytest.mark.parametrize(
    ("banner", "shown"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "H"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "S"),
        (b"ERROR\r\n", "E"),
    ],
)
def test_a_server_that_is_no_redis(banner: bytes, shown: str) -> None:
    class Stranger(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(banner)
            self.request.recv(1000)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        port = listener.server_address[1]
        done = command("check", REDIS_URL=f"redis://127.0.0.1:{port}/0")
        listener.shutdown()
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith(
        f'got "{shown}" as reply type byte: a server answers at 127.0.0.1:{port}, '
        "but not as Redis does; check host and port"
    )


def test_a_missing_unix_socket(tmp_path: Path) -> None:
    code, report = checked(REDIS_URL=f"unix://{tmp_path}/redis.sock")
    assert code == 1
    assert steps(report)["socket"][0] == "failed"


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
        assert "check that this is the server's TLS port" in report["verdict"]
