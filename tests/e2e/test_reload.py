"""Reloads of a running exporter: accepted or refused as a whole, and what continues."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.pages import every, jobs, value
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import Server, free_port, valkey
from tests.support.users import hashed
from tests.support.waiting import wait_for

SUCCESSFUL = "bullmq_exporter_config_last_reload_successful"
SUCCESS_TIME = "bullmq_exporter_config_last_reload_success_timestamp_seconds"
FAST = "{interval_seconds: 0.2, stale_after_seconds: 5}"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with valkey() as one, valkey() as other:
        yield one, other


@pytest.fixture
def a(servers: tuple[Server, Server]) -> Server:
    """A server with one queue."""
    return _with_mail(servers[0])


@pytest.fixture
def b(servers: tuple[Server, Server]) -> Server:
    """A second server with one queue."""
    return _with_mail(servers[1])


def _with_mail(server: Server) -> Server:
    client = server.client()
    client.flushall()
    client.acl_deluser("monitor")
    add_queues(client, "mail")
    return server


@pytest.fixture(scope="module")
def shared(
    servers: tuple[Server, Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    with daemon(tmp_path_factory.mktemp("reload"), text({"api": servers[0].url})) as found:
        yield found


@pytest.fixture
def running(shared: Daemon, a: Server) -> Daemon:
    """An exporter that polls `a`, with an empty log, as if it had just been started."""
    reload(shared, text({"other": f"redis://127.0.0.1:{free_port()}"}))
    wait_for(
        lambda: not _named(shared, "api") and not clients(a), "nothing left of the previous test"
    )
    reload(shared, text({"api": a.url}))
    wait_for(lambda: jobs(shared.samples(), connection="api"), "queues on the page")
    shared.log_file.write_text("")
    return shared


def text(connections: dict[str, str], web: str = "enable_lifecycle: true", **sections: str) -> str:
    lines = ["connections:", *(f"  {name}: {{url: {url}}}" for name, url in connections.items())]
    sections = {"poll": FAST, "web": f"{{{web}}}"} | sections
    return "\n".join([*lines, *(f"{name}: {part}" for name, part in sections.items()), ""])


def write(running: Daemon, config: str) -> None:
    (running.log_file.parent / "config.yaml").write_text(config)


def reload(running: Daemon, config: str) -> None:
    """Reload by SIGHUP; it must succeed."""
    before = running.log.count(" reloaded ")
    write(running, config)
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: running.log.count(" reloaded ") > before, running.log)


def clients(server: Server) -> dict[str, str]:
    """Names and IDs of the exporter's connections, without the temporary ones of the sync test."""
    found = server.client().client_list()
    names = {c["name"]: c["id"] for c in found if c["name"].startswith("bullmq-exporter")}
    return {name: number for name, number in names.items() if ":sync-" not in name}


def count(running: Daemon, name: str, **labels: str) -> float:
    return value(running.samples(), name, **labels) or 0


def test_unchanged_connections_continue(a: Server, b: Server, tmp_path: Path) -> None:
    with daemon(tmp_path, text({"api": a.url})) as running:
        wait_for(lambda: jobs(running.samples(), connection="api"), "queues on the page")
        wait_for(lambda: _follows(running, a), "events are followed")
        add_event(a.client(), "failed", 1, queue="mail")
        wait_for(lambda: count(running, "bullmq_queue_jobs_failed_total"), "all events are read")
        wait_for(lambda: count(running, "bullmq_sync_runs_total"), "a sync round")
        before, socket = running.samples(), clients(a)

        reload(running, text({"api": a.url, "worker": b.url}))
        add_event(a.client(), "added", 99, queue="mail")  # during the reload
        wait_for(lambda: jobs(running.samples(), connection="worker"), "the new one's queues")
        added = value(before, "bullmq_queue_jobs_added_total", connection="api")
        wait_for(lambda: count(running, "bullmq_queue_jobs_added_total", connection="api") > added)
        wait_for(lambda: len(every(running.samples(), "bullmq_sync_success")) == 4, "all pairs")

        after = running.samples()
        fallen = {
            key: (number, after.get(key))
            for key, number in before.items()
            if key[0].endswith(("_total", "_count", "_bucket", "_sum"))
            and "worker" not in dict(key[1]).values()
            and after.get(key, -1) < number
        }
        assert fallen == {}
        assert value(after, "bullmq_queue_jobs_added_total", connection="api") == added + 1
        assert value(after, "bullmq_connection_reconnects_total", connection="api") == 0
        assert clients(a) == socket
        assert set(clients(b)) == {"bullmq-exporter:worker"}
        assert "reloaded kept=api started=worker" in running.log


def _follows(running: Daemon, server: Server) -> bool:
    add_event(server.client(), "added", 1, queue="mail")
    return count(running, "bullmq_queue_jobs_added_total") > 0


def test_a_connection_is_removed(running: Daemon, a: Server, b: Server) -> None:
    reload(running, text({"api": a.url, "worker": b.url}))
    wait_for(lambda: jobs(running.samples(), connection="worker"), "queues on the page")
    socket = clients(a)
    reload(running, text({"api": a.url}))
    wait_for(lambda: not _named(running, "worker"), "no sample of it")
    assert clients(a) == socket
    wait_for(lambda: not clients(b), "its socket is closed")
    assert list(running.get("/health/redis").json["connections"]) == ["api"]
    assert running.get("/health/redis?connection=worker").status == 404
    assert running.get("/-/ready").status == 200
    assert "reloaded kept=api stopped=worker" in running.log
    # and returns as a new connection
    reload(running, text({"api": a.url, "worker": b.url}))
    wait_for(lambda: jobs(running.samples(), connection="worker"), "queues on the page")


def _named(running: Daemon, name: str) -> list[Any]:
    return [key for key in running.samples() if name in dict(key[1]).values()]


def test_a_connection_gets_another_url(running: Daemon, a: Server, b: Server) -> None:
    add_queues(b.client(), "new")
    reload(running, text({"api": b.url}))
    wait_for(lambda: _queues(running) == {"mail", "new"}, "queues of the new server")
    wait_for(lambda: not clients(a), "the old socket is closed")
    assert set(clients(b)) == {"bullmq-exporter:api"}


def _queues(running: Daemon) -> set[str]:
    return {queue for queue, _ in jobs(running.samples())}


def test_two_names_share_one_client(running: Daemon, a: Server) -> None:
    socket = clients(a)
    reload(running, text({"api": a.url, "twin": a.url}))
    wait_for(lambda: count(running, "bullmq_up", connection="twin"), "the twin")
    assert clients(a) == socket
    reload(running, text({"api": a.url}))
    wait_for(lambda: not _named(running, "twin"), "no twin")
    assert clients(a) == socket


def test_changed_queue_options_restart_the_poller(running: Daemon, a: Server) -> None:
    add_queues(a.client(), "other")
    reload(running, text({"api": a.url}, queues="{exclude: [nothing]}"))
    wait_for(lambda: len(every(running.samples(), "bullmq_queue_paused")) == 2, "queues")
    reload(running, text({"api": a.url}, queues="{exclude: [other]}"))
    wait_for(lambda: _queues(running) == {"mail"}, "the other queue is not on the page")
    wait_for(lambda: len(clients(a)) == 1, "the former poller's connection is closed")


def test_an_invalid_configuration_is_refused_as_a_whole(
    running: Daemon, a: Server, b: Server
) -> None:
    good = text({"api": a.url})
    assert count(running, SUCCESSFUL) == 1
    taken, socket = count(running, SUCCESS_TIME), clients(a)
    bad = text({"worker": b.url.replace("redis://", "redis://:hunter2@")}, log="{levle: debug}")
    write(running, bad.replace("/0}", "/x}"))
    answer = running.get("/-/reload", method="POST")
    assert answer.status == 500
    assert answer.text.splitlines()[0] == "not reloaded"
    assert "connections.worker.url: needs a database number" in answer.text
    assert "log.levle: unknown key; did you mean level?" in answer.text
    wait_for(lambda: value(running.samples(), SUCCESSFUL) == 0, "the gauge")
    assert running.log.count("ERROR   exporter reload failed") == 2
    assert "hunter2" not in answer.text + running.log
    assert count(running, SUCCESS_TIME) == taken
    assert (clients(a), clients(b)) == (socket, {})
    assert count(running, "bullmq_up", connection="api") == 1

    write(running, good)
    answer = running.get("/-/reload", method="POST")
    assert (answer.status, answer.text) == (200, "reloaded\n")
    wait_for(lambda: count(running, SUCCESSFUL) == 1, "the gauge")
    assert count(running, SUCCESS_TIME) > taken
    assert clients(a) == socket
    assert "Traceback" not in running.log


def test_a_deleted_file_is_refused(running: Daemon) -> None:
    (running.log_file.parent / "config.yaml").unlink()
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: value(running.samples(), SUCCESSFUL) == 0, "the gauge")
    assert "No such file or directory" in running.log


def test_settings_of_the_listening_socket_cannot_change(running: Daemon, a: Server) -> None:
    write(running, text({"api": a.url}, "enable_lifecycle: true, max_concurrent_requests: 9"))
    answer = running.get("/-/reload", method="POST")
    assert answer.status == 500
    assert "web.max_concurrent_requests: cannot be changed by a reload; restart" in answer.text


def test_reload_by_http_must_be_enabled(running: Daemon, a: Server) -> None:
    reload(running, text({"api": a.url}, ""))
    answer = running.get("/-/reload", method="POST")
    assert answer.status == 403
    assert "web.enable_lifecycle" in answer.text
    answer = running.get("/-/reload")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert running.log.count(" reloaded ") == 1


def test_users_change_by_a_reload(running: Daemon, a: Server) -> None:
    users = "enable_lifecycle: true, basic_auth_users: {{alice: {}}}"
    reload(running, text({"api": a.url}, users.format(hashed("one"))))
    right = {"Authorization": "Basic YWxpY2U6b25l"}
    assert running.get("/metrics").status == 401
    assert running.get("/-/reload", method="POST").status == 401
    assert running.get("/metrics", **right).status == 200
    assert running.get("/-/reload", method="POST", **right).status == 200
    assert running.get("/metrics", **right).status == 200
    reload(running, text({"api": a.url}, users.format(hashed("two"))))
    assert running.get("/metrics", **right).status == 401


def test_the_sync_test_can_be_turned_off_and_on(running: Daemon, a: Server) -> None:
    wait_for(lambda: running.get("/health/redis/sync").status == 200, "a round")
    reload(running, text({"api": a.url}, sync="{enabled: false}"))
    answer = running.get("/health/redis/sync")
    assert answer.status == 404
    assert "sync.enabled: true" in answer.json["error"]
    wait_for(lambda: not every(running.samples(), "bullmq_sync_success"), "no samples")
    reload(running, text({"api": a.url}))
    wait_for(lambda: running.get("/health/redis/sync").status == 200, "a round")


def test_sync_groups_change_by_a_reload(running: Daemon, a: Server) -> None:
    other = a.url.rpartition("/")[0] + "/1"
    reload(running, text({"api": a.url, "mail": other}))
    name, health = "bullmq_sync_success", "/health/redis/sync"
    wait_for(lambda: 0 in every(running.samples(), name).values(), "the databases are compared")
    assert "set sync.groups: [[api, …], [mail, …]]" in running.get(health).json["verdict"]
    reload(running, text({"api": a.url, "mail": other}, sync="{groups: [[api], [mail]]}"))
    wait_for(lambda: running.get(health).status == 200, "only each of them is tested")
    assert len(running.get(health).json["pairs"]) == 2
    assert running.get(health).json["differences"] == []
    wait_for(lambda: len(every(running.samples(), name)) == 2, "two pairs on the page")


def test_many_reloads_leak_nothing(a: Server, tmp_path: Path) -> None:
    one = {"api": a.url}
    two = one | {"gone": f"redis://127.0.0.1:{free_port()}", "db": a.url.replace("/0", "/1")}
    with daemon(tmp_path, text(one)) as running:
        process = Path(f"/proc/{running.process.pid}")

        def held() -> tuple[int, int]:
            # sockets of the sync test and of requests are temporary
            return len(list((process / "task").iterdir())), len(clients(a))

        before = held()
        for _ in range(10):
            reload(running, text(two))
            reload(running, text(one))
        wait_for(lambda: held() <= before, "threads and sockets as before")
        assert "Traceback" not in running.log
        assert running.stop() == 0


def test_a_new_password_needs_no_restart(running: Daemon, a: Server, tmp_path: Path) -> None:
    admin, file = a.client(), tmp_path / "password"

    def set_password(password: str) -> None:
        admin.acl_setuser("monitor", enabled=True, reset_passwords=True, keys=["*"])
        admin.execute_command("ACL", "SETUSER", "monitor", "+@all", f">{password}")

    set_password("first-s3cret")
    file.write_text("first-s3cret\n")
    config = text({"api": a.url}).replace("}", f", username: monitor, password_file: {file}}}", 1)
    reload(running, config)
    wait_for(lambda: count(running, "bullmq_up"), "up")
    set_password("second-s3cret")
    admin.client_kill_filter(user="monitor")
    wait_for(lambda: value(running.samples(), "bullmq_up") == 0, "down")
    wait_for(lambda: _last_error(running) == "auth", "the old password is refused")
    file.write_text("second-s3cret\n")
    wait_for(lambda: count(running, "bullmq_up"), "up again")
    assert "s3cret" not in running.log


def _last_error(running: Daemon) -> str:
    problem = running.get("/health/redis").json["connections"]["api"]["last_error"]
    return str(problem["error"])


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://HOST", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "https://HOST"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://evil.example:HOST"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://HOST", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_a_cross_site_request_cannot_reload(
    running: Daemon, headers: dict[str, str], *, allowed: bool
) -> None:
    own = {
        name: text.replace("HOST", f"127.0.0.1:{running.port}") for name, text in headers.items()
    }
    answer = running.get("/-/reload", method="POST", **own)
    assert answer.status == (200 if allowed else 403)
    assert answer.text.startswith("reloaded" if allowed else "refused: a page of another site")
    assert running.log.count(" reloaded ") == allowed


def test_a_fifo_is_refused_at_once(a: Server, tmp_path: Path) -> None:
    """The reload does not block, and the exporter can still stop."""
    os.mkfifo(tmp_path / "users")
    with daemon(tmp_path, text({"api": a.url})) as running:
        write(running, text({"api": a.url}, f"basic_auth_users_file: {tmp_path}/users"))
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "not a regular file" in running.log, running.log)
        assert running.stop() == 0


def test_a_world_readable_secret_is_reported_once(a: Server, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"alice: {hashed('one')}\n")
    users.chmod(0o644)
    config = text({"api": a.url}, f"basic_auth_users_file: {users}")
    with daemon(tmp_path, config) as running:
        reload(running, config)
        assert running.log.count("secret readable by all users") == 1
        assert f"file={users}" in running.log


def test_the_exporter_stops_during_a_reload(a: Server, tmp_path: Path) -> None:
    with daemon(tmp_path, text({"api": a.url})) as running:
        for _ in range(3):
            running.process.send_signal(signal.SIGHUP)
        assert running.stop() == 0
        with contextlib.suppress(OSError):
            running.get("/metrics")
        assert running.log.rstrip().endswith("stopped")
