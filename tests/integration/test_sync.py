"""The sync test on real servers, with and without faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis

from exporter.collectors import SyncTest
from exporter.collectors.sync import steps
from exporter.config.loader import load
from exporter.config.models import Connection, Sync
from exporter.diagnosis import explain_pair, verdict
from exporter.state.snapshots import SYNC_CHECKS, SyncReport
from tests.support.proxy import Proxy
from tests.support.servers import Server, valkey
from tests.support.waiting import LIMIT_SECONDS, wait_for
from tests.support.watch import patient

OPTIONS = Sync(interval_seconds=1000).model_copy(update={"timeout_seconds": LIMIT_SECONDS})
IMPATIENT = OPTIONS.model_copy(update={"timeout_seconds": 0.3})
"""For a reader that never sees the value."""
SHORT = 0.3
"""The timeout of a connection that never receives replies."""


@pytest.fixture(autouse=True)
def _tolerant(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, a TTL may be read a second late."""
    monkeypatch.setattr(steps, "_TTL_TOLERANCE_SECONDS", steps.TTL_SECONDS)
    monkeypatch.setattr(steps, "_EXPIRY_TOLERANCE_SECONDS", LIMIT_SECONDS)


def sync_test(
    options: Sync = OPTIONS, worker_timeout: float = LIMIT_SECONDS, **urls: str
) -> SyncTest:
    return SyncTest(connections_of(worker_timeout, **urls), options)


def connections_of(worker_timeout: float = LIMIT_SECONDS, **urls: str) -> dict[str, Connection]:
    environ = {f"REDIS_URL_{name.upper()}": url for name, url in urls.items()}
    connections = load(None, environ).connections
    timeouts = dict.fromkeys(connections, LIMIT_SECONDS) | {"worker": worker_timeout}
    return {name: patient(known, timeouts[name]) for name, known in connections.items()}


def outcome(report: SyncReport, writer: str, reader: str) -> dict[str, bool]:
    pair = report.pair(writer, reader)
    assert pair is not None
    return {name: check.ok for name, check in pair.checks.items()}


def explanation(report: SyncReport, writer: str, reader: str) -> str:
    pair = report.pair(writer, reader)
    assert pair is not None
    return explain_pair(pair, report.metadata)


def assert_no_keys_left(*servers: Server) -> None:
    for server in servers:
        assert server.client().keys("bullmq-exporter:*") == []


@contextmanager
def assert_no_threads_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    wait_for(lambda: threading.active_count() <= before, "threads have ended")


ALL_PASSED = dict.fromkeys(SYNC_CHECKS, True)


def test_two_names_of_one_database_pass(any_server: Server) -> None:
    host = any_server.url.replace("127.0.0.1", "localhost")
    report = sync_test(api=any_server.url, worker=host).run()
    pairs = {(pair.writer, pair.reader): pair for pair in report.pairs}
    assert set(pairs) == {(a, b) for a in ("api", "worker") for b in ("api", "worker")}
    for pair in pairs.values():
        assert pair.passed, pair
        assert list(pair.checks) == list(SYNC_CHECKS)
        assert pair.propagation_seconds is not None
        assert 0 <= pair.propagation_seconds <= pair.seconds
    assert any_server.client().dbsize() == 0
    assert verdict(report.pairs, report.metadata) == "every connection sees what the others write"


def test_names_that_share_a_url_are_tested_once(server: Server) -> None:
    server.client().config_resetstat()
    report = sync_test(api=server.url, worker=server.url).run()
    assert len(report.pairs) == 4
    assert all(pair.passed for pair in report.pairs)
    assert server.client().info("commandstats")["cmdstat_set"]["calls"] == 3


def test_runs_and_failures_are_counted(server: Server) -> None:
    with valkey() as other:
        tester = sync_test(api=server.url, worker=other.url)
        tester.run()
        report = tester.run()
        good, bad = report.pair("api", "api"), report.pair("api", "worker")
        assert good is not None
        assert bad is not None
        assert (good.runs, good.failures) == (2, 0)
        assert (bad.runs, bad.failures) == (2, 2)


def test_two_servers_fail(real_server: Server) -> None:
    with valkey() as other:
        report = sync_test(api=real_server.url, worker=other.url).run()
        for pair in (("api", "worker"), ("worker", "api")):
            assert outcome(report, *pair) == {
                "writable": True,
                "set_get": False,
                "same_database": False,
            }
            # waits less for a value that cannot arrive
            found = report.pair(*pair)
            assert found is not None
            assert "within 0.2 s" in found.checks["set_get"].detail
        assert outcome(report, "api", "api") == outcome(report, "worker", "worker") == ALL_PASSED
        ids = [s.client().info("server")["run_id"][:8] for s in (real_server, other)]
        assert explanation(report, "api", "worker") == (
            f"api and worker reach different Redis servers: "
            f"run_id {ids[0]}… at host 127.0.0.1:{real_server.port}/0, "
            f"run_id {ids[1]}… at host 127.0.0.1:{other.port}/0"
        )
        assert verdict(report.pairs, report.metadata) == (
            explanation(report, "api", "worker")
            + "; if they are separate on purpose, set sync.groups: [[api, …], [worker, …]]"
        )
        assert_no_keys_left(real_server, other)


def test_only_members_of_a_group_are_compared(server: Server) -> None:
    """Values of one group are neither written to nor read from another."""
    groups = OPTIONS.model_copy(update={"groups": (("api", "worker"), ("mail",))})
    with valkey() as other:
        host = server.url.replace("127.0.0.1", "localhost")
        connections = connections_of(api=server.url, worker=host, mail=other.url, alone=other.url)
        tester = SyncTest(connections, groups)
        other.client().config_resetstat()
        report = tester.run()
        assert {(pair.writer, pair.reader) for pair in report.pairs} == {
            *((a, b) for a in ("api", "worker") for b in ("api", "worker")),
            *(("mail", "mail"), ("alone", "alone")),
        }
        assert all(pair.passed for pair in report.pairs)
        assert verdict(report.pairs, report.metadata, grouped=True) == (
            "every connection sees what the others of its group write"
        )
        # its own value, payload and short key, but nothing of the others
        assert other.client().info("commandstats")["cmdstat_set"]["calls"] == 3
        misses = other.client().info("stats")["keyspace_misses"]
        tester.change(connections, OPTIONS)
        assert len(tester.run().pairs) == 16
        assert other.client().info("stats")["keyspace_misses"] > misses
        tester.change(connections, groups)
        assert len(tester.run().pairs) == 6
        assert_no_keys_left(server, other)


def test_two_databases_of_one_server_fail(real_server: Server) -> None:
    other = real_server.url.replace("/0", "/1")
    report = sync_test(api=real_server.url, worker=other).run()
    assert not outcome(report, "api", "worker")["same_database"]
    assert explanation(report, "api", "worker") == (
        "api and worker reach the same Redis server but different databases: "
        f"db 0 and db 1 at 127.0.0.1:{real_server.port}"
    )


class TestReplica:
    @pytest.fixture
    def replica(self, server: Server) -> Iterator[Server]:
        server.client().config_set("repl-diskless-sync-delay", 0)
        with valkey("--replicaof", "127.0.0.1", str(server.port)) as found:
            client = found.client()
            wait_for(lambda: client.info("replication")["master_link_status"] == "up", "link up")
            yield found

    def test_a_replica_reads_but_refuses_writes(self, server: Server, replica: Server) -> None:
        report = sync_test(api=server.url, worker=replica.url).run()
        assert outcome(report, "api", "worker") == ALL_PASSED
        assert outcome(report, "worker", "api") == {"writable": False}
        assert outcome(report, "worker", "worker") == {"writable": False}
        assert explanation(report, "worker", "api") == (
            f"worker reaches a read-only replica at 127.0.0.1:{replica.port}: "
            "it can neither add nor take jobs"
        )
        assert not [pair for pair in report.pairs if pair.passed and pair.writer == "worker"]
        assert_no_keys_left(server, replica)

    def test_a_replica_whose_link_is_down_fails(self, server: Server, replica: Server) -> None:
        client = replica.client()
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        wait_for(lambda: client.info("replication")["master_link_status"] == "down", "link down")
        report = sync_test(IMPATIENT, api=server.url, worker=replica.url).run()
        pair = report.pair("api", "worker")
        assert pair is not None
        assert not pair.passed
        assert not pair.checks["set_get"].ok
        assert "does not follow its master (master_link_status down)" in explanation(
            report, "api", "worker"
        )
        assert_no_keys_left(server)


def test_a_full_server_refuses_writes() -> None:
    with valkey("--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as full:
        client = full.client()
        with suppress(redis.OutOfMemoryError):
            for index in range(1000):
                client.set(f"x{index}", "x" * 10_000)
        report = sync_test(api=full.url).run()
        assert outcome(report, "api", "api") == {"writable": False}
        assert "is out of memory for writes" in explanation(report, "api", "api")
        assert_no_keys_left(full)


class TestPermissions:
    @pytest.fixture
    def monitor(self, server: Server) -> Iterator[str]:
        yield f"redis://monitor:pw@127.0.0.1:{server.port}/0"
        server.client().acl_deluser("monitor")

    @pytest.mark.parametrize("refused", ["set", "get", "pttl", "exists"])
    def test_a_refused_command_is_not_permitted_instead_of_failed(
        self, server: Server, monitor: str, refused: str
    ) -> None:
        rules = ("reset", "on", ">pw", "~*", "+@all", f"-{refused}")
        server.client().execute_command("ACL", "SETUSER", "monitor", *rules)
        report = sync_test(default=monitor).run()
        pair = report.pair("default", "default")
        assert pair is not None
        assert pair.passed is None
        assert pair.not_permitted == refused
        assert (pair.runs, pair.failures) == (0, 0)
        assert_no_keys_left(server)

    def test_without_del_the_keys_expire(self, server: Server, monitor: str) -> None:
        rules = ("reset", "on", ">pw", "~*", "+@all", "-del")
        server.client().execute_command("ACL", "SETUSER", "monitor", *rules)
        report = sync_test(default=monitor).run()
        pair = report.pair("default", "default")
        assert pair is not None
        assert (pair.passed, pair.not_permitted) == (None, "del")
        ttls = [server.client().pttl(key) for key in server.client().keys("bullmq-exporter:*")]
        assert ttls
        assert all(0 < ttl <= 50_000 for ttl in ttls)


IN_THE_PAYLOAD = 20_000
"""Bytes after which a connection is inside the payload of 64 KiB."""


class TestNetwork:
    @pytest.fixture
    def proxy(self, server: Server) -> Iterator[Proxy]:
        found = Proxy(server)
        yield found
        found.close()

    def test_a_slow_network_passes(self, server: Server, proxy: Proxy) -> None:
        proxy.delay = 0.05
        report = sync_test(api=server.url, worker=proxy.url).run()
        assert outcome(report, "api", "worker") == ALL_PASSED
        pair = report.pair("api", "worker")
        assert pair is not None
        assert pair.propagation_seconds is not None
        assert pair.propagation_seconds >= 0.05

    def test_a_connection_that_hangs_after_connecting(self, server: Server, proxy: Proxy) -> None:
        proxy.hang = True
        with assert_no_threads_left():
            report = sync_test(api=server.url, worker=proxy.url, worker_timeout=SHORT).run()
        assert outcome(report, "api", "api") == ALL_PASSED
        assert outcome(report, "worker", "api") == {"writable": False}
        assert outcome(report, "api", "worker") == {"writable": True, "set_get": False}
        assert explanation(report, "api", "worker").startswith(
            "worker cannot reach its Redis: the reader failed: timeout"
        )
        wait_for(lambda: proxy.open_connections == 0, "sockets are closed")
        assert_no_keys_left(server)

    def test_a_refused_connection(self, server: Server, proxy: Proxy) -> None:
        proxy.close()
        report = sync_test(api=server.url, worker=proxy.url).run()
        assert "worker cannot reach its Redis" in explanation(report, "worker", "worker")
        assert "connection" in explanation(report, "worker", "worker")

    # every phase: in the handshake, after the SETs, in the payload
    @pytest.mark.parametrize("size", [3, 200, 6000, IN_THE_PAYLOAD, 70_000, 140_000])
    def test_a_connection_cut_in_any_phase(self, server: Server, proxy: Proxy, size: int) -> None:
        proxy.cut_after = size
        with assert_no_threads_left():
            report = sync_test(api=server.url, worker=proxy.url).run()
        failed = [pair for pair in report.pairs if "worker" in (pair.writer, pair.reader)]
        assert outcome(report, "api", "api") == ALL_PASSED
        if size < 70_000:
            assert not any(pair.passed for pair in failed if pair.reader == "worker")
        wait_for(lambda: proxy.open_connections == 0, "sockets are closed")
        wait_for(lambda: _left_with_ttl(server))

    def test_missing_replies(self, server: Server, proxy: Proxy) -> None:
        proxy.hang_after = IN_THE_PAYLOAD
        report = sync_test(api=server.url, worker=proxy.url, worker_timeout=SHORT).run()
        assert outcome(report, "api", "api") == ALL_PASSED
        assert not any(pair.passed for pair in report.pairs if pair.reader == "worker")
        assert proxy.dropped
        assert _left_with_ttl(server)

    def test_stop_interrupts_a_round(self, server: Server, proxy: Proxy) -> None:
        proxy.hang_after = IN_THE_PAYLOAD
        # longer than the test waits: only stopping can end it
        tester = sync_test(api=server.url, worker=proxy.url, worker_timeout=10 * LIMIT_SECONDS)
        thread = threading.Thread(target=tester.run, daemon=True)
        thread.start()
        wait_for(lambda: proxy.dropped, "the round waits for a reply")
        tester.stop()
        wait_for(lambda: not thread.is_alive(), "the round has ended")


def _left_with_ttl(server: Server) -> bool:
    """Whether every key left in Redis expires within a minute."""
    client = server.client()
    return all((t := client.pttl(key)) == -2 or 0 < t <= 50_000 for key in client.keys("*"))


def test_exporters_do_not_disturb_one_another(server: Server) -> None:
    reports: list[SyncReport] = []
    testers = [sync_test(api=server.url, worker=server.url) for _ in "abc"]
    threads = [
        threading.Thread(target=lambda t=tester: reports.append(t.run())) for tester in testers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 3
    assert all(pair.passed for report in reports for pair in report.pairs)
    assert_no_keys_left(server)


def test_every_key_has_a_ttl_from_the_start(server: Server) -> None:
    """If the exporter is killed, nothing is left after a minute."""
    monitor = server.client().monitor()
    with monitor as watching:
        sync_test(api=server.url).run()
        seen = []
        while True:
            line = watching.next_command()["command"]
            seen.append(line)
            if line.upper().startswith("DEL"):
                break
    writes = [line for line in seen if line.upper().startswith("SET ")]
    assert len(writes) == 3
    assert all(" PX " in line for line in writes)
    assert {line.split()[0].upper() for line in seen} <= {
        *("SET", "GET", "PTTL", "EXISTS", "DEL"),
        *("CLIENT", "DBSIZE", "INFO"),
    }


def test_the_next_round_starts_with_the_pairs_that_a_long_round_omitted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The omitted pairs are not reported as failed."""
    monotonic, ahead = time.monotonic, 0.0
    write_and_read = SyncTest._write_and_read

    def take_long(*arguments: Any) -> None:
        nonlocal ahead
        write_and_read(*arguments)
        ahead += OPTIONS.interval_seconds * 0.6

    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + ahead)
    monkeypatch.setattr(SyncTest, "_write_and_read", take_long)
    urls = {name: server.url.replace("/0", f"/{db}") for db, name in enumerate("abc")}
    tester = sync_test(**urls)
    first = tester.run()
    assert {pair.writer for pair in first.pairs} == {"a", "b"}
    second = tester.run()
    assert {pair.writer for pair in second.pairs} == {"a", "b", "c"}
    runs = {pair.writer: pair.runs for pair in second.pairs}
    assert runs == {"a": 2, "b": 1, "c": 1}
