"""A client whose replies are the fuzzer's for some commands, and correct ones for the others."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import hiredis
from hypothesis import strategies as st

from exporter.collectors import READING_COMMANDS
from exporter.config.loader import load
from exporter.connection import ErrorClass, Metadata, RedisFailure
from exporter.connection.node import NodeClient

_MOST_BATCHES: Final = 60
"""Limit of batches: a fuzzed SCAN might never end, unlike a real one."""


@dataclass(frozen=True)
class Err:
    """An error reply."""

    text: str


class Right:
    """Stands for the correct reply."""

    def __repr__(self) -> str:
        return "RIGHT"


RIGHT: Final = Right()

errors = st.sampled_from(
    [
        Err("ERR no such key"),
        Err("ERR unknown command 'x'"),
        Err("WRONGTYPE Operation against a key holding the wrong kind of value"),
        Err("NOPERM User default has no permissions to run the 'xlen' command"),
        Err("LOADING Redis is loading the dataset in memory"),
        Err("MOVED 3999 127.0.0.1:6381"),
        Err("NOAUTH Authentication required."),
        Err(""),
        Err("ERR " + "x" * 5000),
        Err("NOPERM " + "x" * 5000),
    ]
) | st.builds(Err, st.text(max_size=30))

numbers = st.integers(-3, 9) | st.integers(-(1 << 63), (1 << 63) - 1)
number_texts = st.sampled_from(
    [b"0", b"1", b"-1", b"nan", b"inf", b"-inf", b"1e308", b"1e400", b"9" * 30, b"9" * 5000, b"1_0"]
    + [b"4294967296", b"1700000000000", b"6963200000000000", b"\xc2\xb2", b" 5 ", b"0x10", b""]
)
_repeated = st.builds(operator.mul, st.sampled_from([b"x", b":", b"\xff"]), st.integers(1, 5000))
"""Long strings, because users also choose sizes."""
texts = (
    number_texts
    | _repeated
    | st.binary(max_size=20)
    | st.sampled_from(
        [
            b"0:0",
            b"repeat:a:1700000000000",
            b"OK",
            b"string",
            b"PONG",
            b"1-0",
            b"x-y",
            b"a:b",
            b"bull",
        ]
        + [b'{"delay":5}', b'{"delay":true}', b'{"delay":1e400}', b'{"delay":' + b"9" * 400 + b"}"]
        + [b'{"delay":' + b"[" * 100_000, b'["delay":]', b'"delay":']
    )
)
leaves = st.none() | numbers | texts | errors
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5), max_leaves=12) | (
    # types of RESP3
    st.booleans() | st.floats() | st.dictionaries(texts, numbers, max_size=2)
)

replies = st.lists(st.just(RIGHT) | anything, min_size=1, max_size=30)
"""The fuzzer's replies, used in turn."""

COMMANDS: Final = tuple(dict.fromkeys(c.name.split()[0] for c in READING_COMMANDS if not c.cluster))
victims = st.sets(st.sampled_from(COMMANDS), min_size=1, max_size=4) | st.just(set(COMMANDS))
"""The commands that get the fuzzer's replies."""

_INFO: Final = (
    b"# Server\r\nredis_version:7.2.0\r\nrun_id:abc\r\nuptime_in_seconds:9\r\n"
    b"server_time_usec:1700000000000000\r\nused_memory:1\r\nmaxmemory_policy:noeviction\r\n"
    b"role:master\r\nconnected_slaves:0\r\n"
)
_JOB: Final = {b"timestamp": b"1699999990000", b"processedOn": b"1699999995000", b"name": b"task"}
_META: Final = {b"version": b"bullmq:5.0.0", b"concurrency": b"2", b"opts.maxLenEvents": b"10000"}
_STREAM: Final = (
    *(b"length", 2, b"last-generated-id", b"1700000000000-1", b"entries-added", 9),
    *(b"first-entry", [b"1699999999000-0", [b"event", b"added", b"jobId", b"7"]]),
)


def _fields(command: Sequence[bytes]) -> list[bytes | None]:
    known = _META if command[1].endswith(b":meta") else _JOB
    return [known.get(name) for name in command[2:]]


def _new_entries(command: Sequence[bytes]) -> Any:
    keys = command[command.index(b"STREAMS") + 1 :]
    entries = [
        [b"1700000000001-0", [b"event", event, b"jobId", b"7", b"prev", b"active"]]
        for event in (b"waiting", b"active", b"completed")
    ]
    return [[key, entries] for key in keys[: len(keys) // 2 : 2]] or None


_REPLIES: Final[Mapping[bytes, Any]] = {
    b"CLIENT": lambda c: (
        b"id=5 name=bull:bWFpbA== db=0 flags=b cmd=bzpopmin\n" if c[1] == b"LIST" else 5
    ),
    b"GET": lambda _: b"1700000000000",
    b"HMGET": _fields,
    b"INFO": lambda _: _INFO,
    b"LLEN": lambda _: 6,
    b"LRANGE": lambda _: [b"8", b"7"],
    b"PING": lambda _: b"PONG",
    b"PTTL": lambda _: 900,
    b"SCAN": lambda _: [
        b"0",
        [
            b"bull:mail:meta",
            b"bull:a:b:id",
            b"bull:" + b"x" * 2000 + b":id",
            b"bull:\xff\xfe:meta",
            b"x",
        ],
    ],
    b"SSCAN": lambda _: [b"0", [b"bull:mail:7"]],
    b"TIME": lambda _: [b"1700000001", b"5"],
    b"TYPE": lambda _: b"string",
    b"XINFO": lambda _: list(_STREAM),
    b"XREAD": _new_entries,
    b"ZRANGEBYSCORE": lambda _: [b"9", b"8589934593"],
}

_BY_TYPE: Final = {int: 1, bytes: b"7", list: [b"7", b"4294967297"]}
_OTHERS: Final = {c.name.split()[0].encode(): _BY_TYPE[c.reply] for c in READING_COMMANDS}
"""Correct replies of the other commands, by the declared type."""

SETTINGS: Final = load(None, {"REDIS_URL": "redis://127.0.0.1:1/0"}).connections["default"]


class FuzzedClient(NodeClient):
    """The exporter's client with replies as if they had just been read from the socket."""

    def __init__(self, wanted: set[str], given: Sequence[Any], name: str = "fuzz") -> None:
        super().__init__(SETTINGS, name)
        self._wanted = {command.encode() for command in wanted}
        self._given = given
        self._turn = 0
        self._batches = 0

    def pretend_connected(self) -> None:
        """Accept commands without a connection."""
        # not used, because `_exchange` is overridden
        self._socket = self._reader = object()  # type: ignore[assignment]

    def _dial(self) -> Metadata:
        self.pretend_connected()
        return self._identify("127.0.0.1:1", "")

    def _exchange(
        self, _: Any, __: Any, packed: bytes, count: int, ___: int
    ) -> tuple[list[Any], int]:
        self._batches += 1
        if self._batches > _MOST_BATCHES:
            raise RedisFailure(ErrorClass.CONNECTION, "cut off")
        reader = hiredis.Reader()
        reader.feed(packed)
        return [self._reply(reader.gets()) for _ in range(count)], len(packed)

    def _reply(self, command: list[bytes]) -> Any:
        if command[0] in self._wanted:
            self._turn += 1
            given = self._given[self._turn % len(self._given)]
            if given is not RIGHT:
                return self._as_read(given)
        return self.right(command)

    def right(self, command: list[bytes]) -> Any:
        """The correct reply."""
        if command[0] in _REPLIES:
            return _REPLIES[command[0]](command)
        return _OTHERS[command[0]]

    def _as_read(self, given: Any) -> Any:
        """The reply with its errors converted as by the reader."""
        if isinstance(given, Err):
            return self._reply_error(given.text)
        return [self._as_read(one) for one in given] if isinstance(given, list) else given
