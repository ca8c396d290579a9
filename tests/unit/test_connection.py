"""Connections: error classes, back-off, shared clients and keyspaces."""

from __future__ import annotations

import dataclasses

import hiredis
import pytest
import redis

from exporter.collectors import CommandErrors
from exporter.config.loader import load
from exporter.connection import (
    Backoff,
    ClientRegistry,
    ErrorClass,
    Metadata,
    ReplyError,
    parse_info,
)
from exporter.connection.dial import redis_py_failure


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NOAUTH Authentication required.", "auth"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "auth"),
        ("ERR Client sent AUTH, but no password is set", "auth"),
        ("NOPERM User default has no permissions to run the 'xlen' command", "permission"),
        ("ERR unknown command 'xlen', with args beginning with: ", "permission"),
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("BUSY Redis is busy running a script.", "loading"),
        ("MASTERDOWN Link with MASTER is down", "loading"),
        ("READONLY You can't write against a read only replica.", "readonly"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "protocol"),
        ("ERR DB index is out of range", "protocol"),
        ("ERR max number of clients reached", "connection"),
    ],
)
def test_class_of_an_error_reply(text: str, kind: str) -> None:
    error = ReplyError(text)
    assert error.kind == kind
    assert error.not_available is (kind == "permission")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.AuthenticationError("invalid username-password pair"), "auth"),
        (redis.exceptions.NoPermissionError("no permissions to run"), "permission"),
        (redis.BusyLoadingError("Redis is loading"), "loading"),
        (redis.TimeoutError("Timeout connecting to server"), "timeout"),
        (TimeoutError("timed out"), "timeout"),
        (redis.ConnectionError("Error 111 connecting"), "connection"),
        (ConnectionResetError("reset"), "connection"),
        (redis.ResponseError("DB index is out of range"), "protocol"),
        (redis.ResponseError("max number of clients reached"), "connection"),
        (hiredis.ProtocolError("Protocol error"), "protocol"),
        (KeyError("bug"), "internal"),
    ],
)
def test_class_of_an_exception(error: Exception, kind: str) -> None:
    assert redis_py_failure(error).kind == kind


class TestLongErrors:
    """Collectors log, keep and show an error, so its message is cut when it is created."""

    LONG = "WRONGTYPE " + "x" * 50_000

    def test_an_error_reply_is_cut(self) -> None:
        error = ReplyError(self.LONG)
        assert error.kind == "protocol"
        assert error.text.startswith("WRONGTYPE xxx")
        assert error.text.endswith("… (cut, of 50010 characters)")
        assert all(len(text) < 1100 for text in (error.text, str(error), error.refused))

    def test_an_exception_of_redis_py_is_cut(self) -> None:
        assert len(redis_py_failure(redis.ResponseError(self.LONG)).text) < 1100
        assert len(redis_py_failure(KeyError(self.LONG)).text) < 1100

    def test_a_password_at_the_cut_is_masked(self) -> None:
        password = "hunter2" * 20
        text = "x" * 950 + password
        for error in (redis.ResponseError(text), redis.AuthenticationError(text)):
            assert "hunter" not in redis_py_failure(error, password).text

    def test_distinct_messages_are_limited(self) -> None:
        errors = CommandErrors()
        for number in range(5000):
            errors.add(ReplyError(f"NOPERM of '{number}'"), "x")
            errors.add(ReplyError(f"WRONGTYPE {number}"), "x")
        assert len(errors.not_available) == len(errors.messages) == 100
        assert errors.classes.total() == 5000


def test_a_refusal_names_the_command() -> None:
    assert ReplyError("NOPERM User x has no permissions to run the 'xlen' command").refused == (
        "xlen"
    )
    assert ReplyError("NOPERM No permissions to access a key").refused == (
        "NOPERM No permissions to access a key"
    )


class TestBackoff:
    def test_waits_double_up_to_the_cap_with_jitter(self) -> None:
        waits = Backoff(0.25, 5, jitter=lambda: 1.0)
        assert [waits.next() for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 5, 5]
        waits.reset()
        assert waits.next() == 0.25
        assert Backoff(0.25, 5, jitter=lambda: 0.0).next() == 0.125

    def test_a_billion_attempts_do_not_overflow(self) -> None:
        waits = Backoff(0.25, 5)
        waits.attempts = 10**9
        assert 2.5 <= waits.next() <= 5


class TestClients:
    def test_connections_with_the_same_url_share_a_client(self) -> None:
        environ = {
            "REDIS_URL_API": "redis://:p@h/1",
            "REDIS_URL_WORKER": "redis://:p@h:6379/1",
            "REDIS_URL_OTHER": "redis://:p@h/2",
        }
        connections = load(None, environ).connections
        clients = ClientRegistry()
        api = clients.get(connections["api"], "api")
        assert clients.get(connections["worker"], "worker") is api
        assert clients.get(connections["other"], "other") is not api


class TestKeyspaces:
    MASTER = Metadata("n", "a:1", "u", "h", 0, 0.0, run_id="r1", role="master", replication_id="x")

    def same(self, **changes: object) -> bool:
        return self.MASTER.same_keyspace(dataclasses.replace(self.MASTER, **changes))

    def test_the_same_run_id_is_the_same_keyspace(self) -> None:
        assert self.same(address="b:2", name="m", replication_id="y")

    def test_another_database_is_another_keyspace(self) -> None:
        assert not self.same(db=1)

    def test_another_run_id_is_another_keyspace(self) -> None:
        assert not self.same(run_id="r2", replication_id="y")

    def test_a_replica_shares_its_masters_keyspace(self) -> None:
        assert self.same(run_id="r2", role="slave")

    def test_a_second_master_with_the_same_replication_id_is_another_keyspace(self) -> None:
        assert not self.same(run_id="r2")

    def test_hidden_identities_never_match(self) -> None:
        hidden = dataclasses.replace(self.MASTER, run_id="", replication_id="", role="slave")
        assert not hidden.same_keyspace(hidden)


def test_parse_info_ignores_invalid_lines() -> None:
    info = parse_info(b"# S\r\nredis_version:7.0.15\r\nexecutable:/a:b\r\n\r\nno\r\n\xff:1")
    assert info["redis_version"] == "7.0.15"
    assert info["executable"] == "/a:b"


def test_error_classes_are_stable() -> None:
    assert [str(kind) for kind in ErrorClass] == [
        *("connection", "timeout", "auth", "permission", "loading", "readonly"),
        *("writes_refused", "protocol"),
        "internal",
    ]
