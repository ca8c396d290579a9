"""Bugs found by fuzzing, each with its smallest input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.bullmq import queue_settings, ready_since_ms
from exporter.collectors import SyncTest
from exporter.collectors.server.info import server_values
from exporter.collectors.sync import endpoints
from exporter.config.errors import ConfigError
from exporter.config.loader import load
from exporter.config.users import read_users
from exporter.connection import ErrorClass, RedisFailure, parse_info
from exporter.connection.routing import _joined
from exporter.connection.slots import read_slots, redirection
from exporter.state.queue_table import QueueTable
from tests.support.fuzzing.fuzzed_client import RIGHT, SETTINGS, Err
from tests.support.fuzzing.polls import NAMED, PLAIN, check, polled
from tests.support.fuzzing.sync_client import OPTIONS, StoringClient


@pytest.mark.parametrize(
    ("command", "reply", "collector"),
    [
        ("LLEN", b"5", "queues"),
        ("LLEN", 1.5, "queues"),
        ("ZCARD", [], "queues"),
        ("HEXISTS", b"", "queues"),
        ("XLEN", True, "queues"),
        ("LINDEX", 7, "queues"),
        ("LRANGE", b"7", "queues"),
        ("LRANGE", [7], "queues"),
        ("LRANGE", [Err("ERR x")], "queues"),
        ("ZRANGE", [b"7"], "queues"),
        ("ZRANGE", [None, None], "queues"),
        ("ZRANGEBYSCORE", [b"7", 1], "queues"),
        ("HMGET", [], "queues"),
        ("HMGET", [1, 2, 3], "queues"),
        ("GET", 5, "queues"),
        ("PTTL", b"5", "queues"),
        ("EXISTS", [], "queues"),
        ("ZCOUNT", {}, "queues"),
        ("ZSCORE", 5, "queues"),
        ("SSCAN", [b"0"], "queues"),
        ("SSCAN", [b"x", []], "queues"),
        ("SSCAN", [b"0", [5]], "queues"),
        ("TIME", b"OK", "queues"),
        ("TIME", [b"x", b"y"], "queues"),
        ("INFO", 5, "server"),
        ("DBSIZE", b"5", "server"),
        ("CLIENT", [5], "workers"),
        ("XINFO", 5, "events"),
        ("XINFO", [5, 5], "events"),
        ("XINFO", [b"last-generated-id", b"x"], "events"),
        ("XINFO", [b"first-entry", [b"x", []]], "events"),
        ("XREAD", b"", "events"),
        ("XREAD", [[b"unasked", [[b"1-0", []]]]], "events"),
        ("XREAD", [[b"bull:mail:events", []]], "events"),
        ("XREAD", [[b"bull:mail:events", [[b"x", []]]]], "events"),
        ("XREAD", [[b"bull:mail:events", [[b"1-0", None]]]], "events"),
        ("SCAN", 5, "discovery"),
        ("SCAN", [b"0"], "discovery"),
        ("SCAN", [None, []], "discovery"),
        ("SCAN", [b"0", [5]], "discovery"),
    ],
)
def test_an_unexpected_reply_is_a_protocol_error(command: str, reply: Any, collector: str) -> None:
    for config in (PLAIN, NAMED):
        store = polled(config, {command}, [reply])
        check(config, store)
        report = store.snapshots()[0].reports[collector]
        assert report.errors[ErrorClass.PROTOCOL]
        assert report.last_error is not None
        assert "unexpected reply to " in report.last_error.text


@pytest.mark.parametrize(
    ("command", "reply", "column"),
    [
        ("ZRANGE", [b"7", b"inf"], "delayed_overdue_seconds"),
        ("ZRANGE", [b"7", b"-inf"], "schedulers_overdue_seconds"),
        ("ZRANGE", [b"7", b"x"], "delayed_overdue_seconds"),
        ("ZRANGE", [b"7", b"nan"], "delayed_overdue_seconds"),
        ("GET", b"9" * 5000, "waiting"),
        ("HMGET", [b"9" * 5000, b"nan", b"{}"], "oldest_waiting_seconds"),
        ("HMGET", [b"1", b"2", b'{"delay":' + b"[" * 100_000], "oldest_waiting_seconds"),
    ],
)
def test_invalid_values_of_one_queue_do_not_affect_others(
    command: str, reply: Any, column: str
) -> None:
    """Users write the keys of a queue, so invalid values are not an error of the collector."""
    given = [reply] if command != "HMGET" else [RIGHT, reply, RIGHT, RIGHT]
    store = polled(PLAIN, {command} if command != "HMGET" else set(), given)
    check(PLAIN, store)
    snapshot = store.snapshots()[0]
    assert snapshot.reports["queues"].success
    table = snapshot.facts[QueueTable].facts
    assert isinstance(table, QueueTable)
    assert column in {each.name for each in table.columns}


@pytest.mark.parametrize(
    ("options", "since"),
    [
        (b'{"delay":' + b"[" * 100_000, 5.0),
        (b'{"delay":1e400}', 5.0),
        (b'{"delay":' + b"9" * 400 + b"}", 5.0),
        (b'{"delay":2}', 7.0),
    ],
)
def test_options_of_a_job(options: bytes, since: float) -> None:
    assert ready_since_ms(b"1", [b"5", None, options]) == since


def test_infinite_times_are_unknown() -> None:
    assert ready_since_ms(b"1", [b"inf", None, None]) is None
    assert ready_since_ms(b"1", [b"5", b"nan", None]) == 5.0
    assert queue_settings([None, b"9" * 5000, b"1_0"]).concurrency is None


def test_invalid_numbers_of_info_are_omitted() -> None:
    info = parse_info(
        b"used_memory:" + b"9" * 400 + b"\r\nmaxmemory:nan\r\nmaxclients:\xc2\xb2\r\n"
    )
    assert server_values(info) == {}


@pytest.mark.parametrize("reply", [5, [5], [[0, 1, [b"h", 1]]], [[0, 16384, [b"h", 1, b"i"]]]])
def test_invalid_cluster_slots(reply: Any) -> None:
    with pytest.raises(RedisFailure, match="unexpected reply to CLUSTER SLOTS"):
        read_slots(reply, ("h", 1))


@pytest.mark.parametrize("text", ["MOVED x h:1", "MOVED 16384 h:1", "ASK 5 h", "ASK 5 h:99999"])
def test_invalid_redirections(text: str) -> None:
    assert redirection(text, ("h", 1)) is None


def test_an_invalid_xread_reply_of_a_node() -> None:
    with pytest.raises(RedisFailure, match="unexpected reply to XREAD"):
        _joined([[], 5])


def test_an_invalid_ttl_reply_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "open_client", StoringClient)
    StoringClient.wanted, StoringClient.given, StoringClient.kept = {"PTTL"}, [b"5"], {}
    (pair,) = SyncTest({"api": SETTINGS}, OPTIONS).run().pairs
    assert "unexpected reply to PTTL" in pair.checks["ttl"].detail
    json.dumps(pair.checks["ttl"].detail)


SECRET = "hunter2"
ALIASES = "a: &a [[], [], [], [], [], [], [], [], [], []]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("", {"PORT": "9" * 5000}, "PORT: must be a port number"),
        ("", {"PORT": f"redis://:{SECRET}@h"}, "not 'redis://***@h'"),
        (f"connections: {{api: 'redis://:{SECRET}@h'}}", {}, "must be a mapping of keys to values"),
        (f"connections: {{api: {{'redis://:{SECRET}@h'}}}}", {}, "redis://***@h: unknown key"),
        (f"log: {{level: 'redis://u:{SECRET}@h'}}", {}, "redis://***@h"),
        (f"listen: '${{redis://:{SECRET}@h}}'", {}, "is not a variable name"),
        (f"listen: *redis://:{SECRET}@h", {}, "not valid YAML"),
        ("", {"REDIS_URL": f"redis://u:a?{SECRET}@h"}, "has an @ after the ?"),
        ("", {"REDIS_URL": "redis://\ud800"}, "contains an unpaired surrogate"),
        ('queues: {static: ["\\ud800"]}', {}, "contains an unpaired surrogate"),
        ('"\\ud800": 1', {}, "unable to parse raw data as a unicode string"),
        ("", {"REDIS_URL": "redis://h/" + "9" * 5000}, "needs a database number"),
        ("queues: {max: " + "9" * 5000 + "}", {}, "has too many digits"),
        ("queues: {max: '${X}'}", {"X": "9" * 5000}, "has too many digits"),
        ("[" * 1000, {}, "is nested too deeply"),
        ('listen: "\\Uffffffff"', {}, "invalid character escape"),
        ('listen: "\\U00110000"', {}, "invalid character escape"),
        ("listen: !!bool x", {}, "the tag does not match the value"),
        ("listen: !!timestamp x", {}, "the tag does not match the value"),
        ("listen: !!int x", {}, "the tag does not match the value"),
        (ALIASES, {}, "too large after expanding aliases"),
    ],
)
def test_invalid_configurations(
    tmp_path: Path, text: str, environ: dict[str, str], message: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, environ)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["{}: alice", "alice: {}\n{}: x", "alice: $2y$04$\n\n{rest}: x"])
def test_a_hash_in_place_of_a_name_is_masked(tmp_path: Path, text: str) -> None:
    rest = "h" * 53
    file = tmp_path / "users"
    file.write_text(text.format(*["$2y$04$" + rest] * 2, rest=rest))
    config = tmp_path / "config.yaml"
    config.write_text("web: {basic_auth_users: {" + f"'$2y$04${rest}': alice, 'a:{rest}': x" + "}}")
    for read in (lambda: read_users(file), lambda: load(config, {})):
        with pytest.raises(ConfigError) as caught:
            read()
        assert "h" * 31 not in str(caught.value)
