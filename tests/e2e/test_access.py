"""Access to Redis: passwords, databases, permissions, TLS and Unix sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from exporter.check.permissions import PERMISSIONS
from exporter.collectors import SYNC_COMMANDS
from tests.support.acl import commands_of, published_acls
from tests.support.command import command
from tests.support.daemon import Daemon, daemon
from tests.support.pages import every, jobs, parse, value
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import Server, valkey
from tests.support.tls import TLSFront, write_certificates
from tests.support.waiting import wait_for

OF_ONE_COMMAND = {
    "xlen": ("bullmq_queue_events_stream_length", "queues"),
    "hmget": ("bullmq_queue_concurrency_limit", "queues"),
    "dbsize": ("bullmq_redis_keys", "server"),
    "hexists": ("bullmq_queue_paused", "queues"),
}
"""By command: a family that needs it, and its collector."""


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that requires a password."""
    with valkey("--requirepass", "right") as found:
        yield found


@pytest.fixture(scope="module")
def running(locked: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter; each of its connections has another problem, in its own database."""
    folder = tmp_path_factory.mktemp("access")
    (folder / "password").write_text("right\n")
    at_locked = locked.url.removeprefix("redis://")
    with valkey() as server:
        connections = {
            "wrong_password": f"url: 'redis://:wr0ng-s3cret@{at_locked}'",
            "password_of_a_file": f"url: '{locked.url}', password_file: {folder}/password",
            "no_database": f"url: '{server.url.replace('/0', '/99')}'",
        }
        for db, command_ in enumerate((*OF_ONE_COMMAND, "info"), start=1):
            add_queues(server.client(db=db), "mail")
            server.client(db=db).hset("bull:mail:meta", "concurrency", 3)
            acl(server, "~*", "+@all", f"-{command_}", user=command_)
            url = server.url.replace("//", f"//{command_}:pw@").replace("/0", f"/{db}")
            connections[f"without_{command_}"] = f"url: '{url}'"
        lines = [f"  {name}: {{{settings}}}" for name, settings in connections.items()]
        config = "\n".join(["connections:", *lines, "sync: {enabled: false}", ""])
        with daemon(folder, config) as found:
            yield found


def health(running: Daemon, connection: str) -> dict[str, Any]:
    found: dict[str, Any] = running.get("/health/redis").json["connections"][connection]
    return found


def test_a_wrong_password_is_reported_without_showing_it(locked: Server, running: Daemon) -> None:
    wrong = {"connection": "wrong_password"}
    assert value(running.samples(), "bullmq_up", **wrong) == 0
    found = health(running, "wrong_password")
    assert found["last_error"]["error"] == "auth"
    assert found["url"] == f"redis://:***@127.0.0.1:{locked.port}/0"
    errors = "bullmq_exporter_collector_errors_total"
    assert value(running.samples(), errors, collector="queues", error="auth", **wrong)
    assert "error=auth" in running.log
    pages = [running.get(path).text for path in ("/metrics", "/health/redis", "/")]
    assert not [text for text in [*pages, running.log] if "wr0ng-s3cret" in text]


def test_a_password_from_a_file(running: Daemon) -> None:
    assert value(running.samples(), "bullmq_up", connection="password_of_a_file") == 1


def test_a_missing_database_is_reported(running: Daemon) -> None:
    assert value(running.samples(), "bullmq_up", connection="no_database") == 0
    error = health(running, "no_database")["last_error"]
    assert error["error"] == "protocol"
    assert "DB index is out of range" in error["detail"]
    assert "DB index is out of range" in running.log


@pytest.mark.parametrize("command_", OF_ONE_COMMAND)
def test_a_refused_command_affects_only_its_family(running: Daemon, command_: str) -> None:
    missing, collector = OF_ONE_COMMAND[command_]
    of = {"connection": f"without_{command_}"}
    wait_for(lambda: jobs(running.samples(), **of), "queues on the page")
    samples = running.samples()
    assert every(samples, missing)
    assert not every(samples, missing, **of)
    assert len(jobs(samples, **of)) == 7
    assert value(samples, "bullmq_exporter_collector_success", collector=collector, **of) == 1
    report = health(running, of["connection"])["collectors"][collector]
    assert report["not_available"] == [command_]
    assert running.log.count(f"{collector}: {command_} is not permitted") == 1


def test_refused_info(running: Daemon) -> None:
    of = {"connection": "without_info"}
    wait_for(lambda: jobs(running.samples(), **of), "queues on the page")
    samples = running.samples()
    assert value(samples, "bullmq_up", **of) == 1
    assert value(samples, "bullmq_exporter_collector_success", collector="server", **of) is None
    shown = {name for name, labels in samples if of.items() <= dict(labels).items()}
    assert not [name for name in shown if name.startswith("bullmq_redis")]
    assert value(samples, "bullmq_connection_info", run_id="", **of) == 1


@pytest.fixture
def restricted(server: Server) -> Iterator[Server]:
    """A server whose user `monitor` has only the permissions that a test grants."""
    yield server
    server.client().acl_deluser("monitor")


def monitor_url(server: Server) -> str:
    return f"redis://monitor:pw@127.0.0.1:{server.port}/0"


def acl(server: Server, *rules: str, user: str = "monitor") -> None:
    server.client().execute_command("ACL", "SETUSER", user, "reset", "on", ">pw", *rules)


def test_static_queues_are_watched_if_scan_is_refused(restricted: Server, tmp_path: Path) -> None:
    add_queues(restricted.client(), "mail", "other")
    acl(restricted, "~*", "+@all", "-scan")
    config = (
        f'connections: {{api: {{url: "{monitor_url(restricted)}"}}}}\nqueues: {{static: [mail]}}'
    )
    with daemon(tmp_path, config) as running:
        found = wait_for(lambda: jobs(running.samples()), "queues on the page")
        assert {queue for queue, _ in found} == {"mail"}
        success = "bullmq_exporter_collector_success"
        assert value(running.samples(), success, collector="discovery") is None
        assert "discovery is not available" in running.log


def test_the_published_acls_list_exactly_the_declared_commands() -> None:
    reading = {use.name for use in PERMISSIONS} | {"auth", "select"}
    with_sync, without = published_acls()
    assert commands_of(without) == reading
    assert commands_of(with_sync) == reading | {command.acl_name for command in SYNC_COMMANDS}


def fill(client: redis.Redis) -> None:
    """Add queues for which the exporter sends every command that it has."""
    add_queues(client, "mail", "a:b")
    client.rpush("bull:mail:wait", "0:0")
    client.rpush("bull:mail:active", 2)
    client.zadd("bull:mail:prioritized", {"3": 1 << 32})
    client.zadd("bull:mail:delayed", {"4": 4096})
    client.zadd("bull:mail:repeat", {"schedule": 1})
    client.zadd("bull:mail:waiting-children", {"5": 1})
    client.set("bull:mail:limiter", 1, ex=60)
    client.xadd("bull:mail:events", {"event": "x"})
    client.set("bull:ghost:stalled-check", 1)


def test_the_exporter_sends_only_declared_commands(server: Server, tmp_path: Path) -> None:
    fill(server.client())
    server.client().config_resetstat()
    config = (
        f'connections: {{a: {{url: "{server.url}"}}}}\npoll: {{interval_seconds: 0.5}}\n'
        "events: {failure_classes: true}"
    )
    with daemon(tmp_path, config) as running:
        wait_for(lambda: every(running.samples(), "bullmq_sync_success"), "a sync round")
        name = "bullmq_connection_ping_seconds_count"
        wait_for(lambda: (value(running.samples(), name) or 0) > 3, "some polls")
        for event, previous in (("active", "waiting"), ("waiting", "active"), ("drained", "")):
            add_event(server.client(), event, queue="mail", prev=previous)
        for rotated in ("memory|usage", "sscan", "hstrlen"):
            wait_for(
                lambda name=rotated: name in str(server.client().info("commandstats")), rotated
            )
        sent = {
            name.removeprefix("cmdstat_")
            for name in server.client().info("commandstats")
            if "config" not in name
        }
    known = {use.name for use in PERMISSIONS if not use.cluster} | {
        command.acl_name for command in SYNC_COMMANDS
    }
    # the test's own client
    assert sent - {"hello", "client|setinfo", "xadd"} == known


@pytest.mark.parametrize("with_sync", [True, False])
def test_the_published_acls_are_sufficient(
    restricted: Server, tmp_path: Path, with_sync: bool
) -> None:
    client = restricted.client()
    fill(client)
    acl(restricted, *published_acls()[0 if with_sync else 1])
    with daemon(tmp_path, REDIS_URL=monitor_url(restricted)) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        page = wait_for(
            lambda: (p := running.get("/health/redis/sync").json)["status"] != "starting" and p
        )
        assert page["status"] == ("passed" if with_sync else "not permitted")
        if with_sync:  # `/metrics` follows the other pages within a moment
            wait_for(lambda: value(running.samples(), "bullmq_sync_success") == 1, "the metric")
        else:
            assert value(running.samples(), "bullmq_sync_success") is None
        reports = health(running, "default")["collectors"].values()
        assert not any(report["not_available"] for report in reports)
        errors = every(running.samples(), "bullmq_exporter_collector_errors_total")
        assert set(errors.values()) == {0}
        assert "WARNING" not in running.log
    monitor = client.from_url(monitor_url(restricted))
    writes = [
        ("SET", "bull:mail:x", "1"),
        ("DEL", "bull:mail:wait"),
        ("LPUSH", "bull:mail:wait", 1),
    ]
    for call in [*writes, ("EVAL", "return 1", "0"), ("KEYS", "*"), ("GET", "x")]:
        with pytest.raises(redis.exceptions.NoPermissionError):
            monitor.execute_command(*call)


class TestTLS:
    @pytest.fixture
    def ca(self, tmp_path: Path) -> trustme.CA:
        return write_certificates(tmp_path)

    def page(self, folder: Path, port: int, tls: str) -> tuple[int, str, str]:
        file = folder / "config.yaml"
        file.write_text(
            f'connections: {{api: {{url: "rediss://127.0.0.1:{port}/0", tls: {{{tls}}}}}}}'
        )
        done = command("run", "--once", "--config", str(file))
        return done.returncode, done.stdout, done.stderr

    def test_with_a_ca_a_client_certificate_and_a_server_name(
        self, server: Server, ca: trustme.CA, tmp_path: Path
    ) -> None:
        add_queues(server.client(), "mail")
        front = TLSFront(server, ca, "redis.example", client_ca=True)
        tls = (
            f"ca_file: {tmp_path}/ca.pem, server_name: redis.example, "
            f"cert_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem"
        )
        code, out, err = self.page(tmp_path, front.port, tls)
        assert (code, jobs(parse(out)).get(("mail", "waiting"))) == (0, 1), err
        front.close()

    def test_an_untrusted_certificate_is_rejected(
        self, server: Server, ca: trustme.CA, tmp_path: Path
    ) -> None:
        front = TLSFront(server, ca, "127.0.0.1", client_ca=False)
        code, out, err = self.page(tmp_path, front.port, "")
        assert (code, value(parse(out), "bullmq_up")) == (1, 0)
        assert "certificate verify failed" in err
        code, out, _ = self.page(tmp_path, front.port, "verify: false")
        assert (code, value(parse(out), "bullmq_up")) == (0, 1)
        front.close()

    def test_a_certificate_for_another_name_is_rejected(
        self, server: Server, ca: trustme.CA, tmp_path: Path
    ) -> None:
        front = TLSFront(server, ca, "redis.example", client_ca=False)
        code, _, err = self.page(tmp_path, front.port, f"ca_file: {tmp_path}/ca.pem")
        assert code == 1
        assert "certificate is not valid for '127.0.0.1'" in err
        front.close()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with valkey("--unixsocket", str(path)) as server:
        client = server.client(db=3)
        add_queues(client, "mail")
        done = command("run", "--once", REDIS_URL=f"unix://{path}?db=3")
        assert done.returncode == 0, done.stderr
        samples = parse(done.stdout)
        assert jobs(samples)[("mail", "waiting")] == 1
        assert value(samples, "bullmq_connection_info", db="3") == 1
