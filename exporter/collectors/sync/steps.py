"""The steps of the sync test, for one writer and one reader."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from exporter.collectors.sync.endpoints import Endpoint
from exporter.collectors.sync.keys import SHORT_TTL_SECONDS, TTL_SECONDS, Keys
from exporter.connection import (
    Client,
    Command,
    ErrorClass,
    Metadata,
    RedisFailure,
    Reply,
    ReplyError,
    expect_int,
)
from exporter.state.snapshots import Check

_SET: Final = Command("SET", reply=bytes)
_GET: Final = Command("GET", reply=bytes)
_PTTL: Final = Command("PTTL")
_EXISTS: Final = Command("EXISTS")
_DEL: Final = Command("DEL")
COMMANDS: Final = (_SET, _GET, _PTTL, _EXISTS, _DEL)
"""Commands of the test, except those that open a connection."""

# How long to wait for the value if the servers' identities differ. It should not arrive, but
# identities can be wrong (a proxy), and values can be replicated (active-active databases).
_CANNOT_MATCH_SECONDS: Final = 0.2
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05
_TTL_TOLERANCE_SECONDS: Final = 1.0
_EXPIRY_TOLERANCE_SECONDS: Final = 1.0


class NotPermittedError(Exception):
    """An ACL refuses a command that the test needs; the message names the command."""


@dataclass(slots=True)
class PairResult:
    """The checks of one pair so far."""

    checks: dict[str, Check] = field(default_factory=dict)
    not_permitted: str = ""
    propagation_seconds: float | None = None

    def record(
        self,
        name: str,
        started: float,
        problem: str | None,
        detail: str,
        error: ErrorClass | None = None,
    ) -> bool:
        """Record a check; it passed if there is no problem. Returns whether it passed."""
        seconds = time.monotonic() - started
        self.checks[name] = Check(problem is None, seconds, problem or detail, error)
        return problem is None


def write(writer: Client, keys: Keys) -> None:
    """Write all keys in one batch. Raises `RedisFailure` or `NotPermittedError`."""
    long, short = TTL_SECONDS * 1000, round(SHORT_TTL_SECONDS * 1000)
    packed = (
        _SET.on(keys.value_key, more=(keys.value, "PX", long))
        + _SET.on(keys.payload_key, more=(keys.payload, "PX", long))
        + _SET.on(keys.short_key, more=(keys.value, "PX", short))
    )
    for reply in writer.batch(packed, 3, 3 * _SET.limit).replies:
        _checked(reply)


def read(
    endpoint: Endpoint, keys: Keys, written_at: float, timeout: float, result: PairResult
) -> None:
    """All checks of a reader, recorded in `result`; a failure ends them."""
    started = time.monotonic()
    step = "set_get"
    try:
        if not _set_get(endpoint.reader, keys, written_at, timeout, result):
            return
        step, started = "integrity", time.monotonic()
        result.record(step, started, *_integrity(endpoint.reader, keys))
        step, started = "ttl", time.monotonic()
        first = _ttl(endpoint.reader, keys)
        step, started = "expiry", time.monotonic()
        result.record(step, started, *_expiry(endpoint.reader, keys, written_at))
        second = _ttl(endpoint.reader, keys)
        result.record("ttl", started, *_ttl_verdict(written_at, first, second))
    except NotPermittedError as error:
        result.not_permitted = str(error)
    except RedisFailure as failure:
        result.record(step, started, f"the reader failed: {failure}", "")


def clean_up(writer: Client, keys: Keys) -> None:
    """Delete the keys; reconnect if the connection was lost. Raises `RedisFailure`."""
    if not writer.connected:
        writer.connect()
    _ask(writer, _DEL, *keys.all)


def check_deleted(reader: Client, keys: Keys, timeout: float) -> str | None:
    """Wait until the reader sees no key; the problem if it still does. Raises `RedisFailure`."""
    deleted_at = _wait_until(lambda: _ask(reader, _EXISTS, *keys.all) == 0, timeout)
    return None if deleted_at is not None else f"the reader still sees keys {timeout:g} s after DEL"


def same_database(writer: Metadata, reader: Metadata, *, seen: bool) -> tuple[str | None, str]:
    """Whether both reach the same database: the problem, and the detail if there is none.

    Compares the servers' identities. If one is hidden, having seen the written value (`seen`) is
    the proof.
    """
    if writer.same_keyspace(reader):
        return None, "the same server and database"
    hidden = not (writer.run_id and reader.run_id)
    if hidden and seen and writer.db == reader.db:
        return None, "a server hides its identity, but the reader saw the writer's value"
    if writer.db != reader.db and writer.run_id == reader.run_id:
        return f"different databases: {writer.db} and {reader.db}", ""
    return "different servers" if not hidden else "a server hides its identity", ""


def cannot_match(writer: Metadata, reader: Metadata) -> bool:
    """Whether both servers' identities are known and differ, so the reader cannot see the value."""
    known = bool(writer.run_id and reader.run_id)
    return known and not writer.same_keyspace(reader)


def read_timeout(writer: Metadata | None, reader: Metadata | None, timeout: float) -> float:
    """How long the reader waits for the value, in seconds."""
    if writer is not None and reader is not None and cannot_match(writer, reader):
        return min(timeout, _CANNOT_MATCH_SECONDS)
    return timeout


def _set_get(
    reader: Client, keys: Keys, written_at: float, timeout: float, result: PairResult
) -> bool:
    started, last = time.monotonic(), None

    def arrived() -> bool:
        nonlocal last
        try:
            last = _ask(reader, _GET, keys.value_key)
        except ReplyError as error:  # MASTERDOWN and similar errors are temporary
            last = error
        return bool(last == keys.value)

    seen_at = _wait_until(arrived, timeout)
    if seen_at is None:
        why = f"; Redis replied {last.text}" if isinstance(last, ReplyError) else ""
        problem = f"the reader did not see the value within {timeout:g} s{why}"
        return result.record("set_get", started, problem, "")
    result.propagation_seconds = max(0.0, seen_at - written_at)
    detail = f"seen {result.propagation_seconds * 1000:.1f} ms after it was written"
    return result.record("set_get", started, None, detail)


def _integrity(reader: Client, keys: Keys) -> tuple[str | None, str]:
    payload = _ask(reader, _GET, keys.payload_key)
    if not isinstance(payload, bytes):
        return "the payload is missing", ""
    if hashlib.sha256(payload).digest() != keys.digest:
        return f"wrote {len(keys.payload)} bytes, read {len(payload)} different bytes", ""
    return None, f"{len(payload)} bytes read back unchanged"


def _ttl(reader: Client, keys: Keys) -> tuple[float, int]:
    """When the TTL was read, and its value in ms (-1: no TTL, -2: no key)."""
    left = expect_int(_ask(reader, _PTTL, keys.value_key), "PTTL")
    return time.monotonic(), left


def _ttl_verdict(
    written_at: float, first: tuple[float, int], second: tuple[float, int]
) -> tuple[str | None, str]:
    for at, left in (first, second):
        if left < 0:
            return ("the key has no TTL" if left == -1 else "the key expired too early"), ""
        due = TTL_SECONDS - (at - written_at)
        if abs(left / 1000 - due) > _TTL_TOLERANCE_SECONDS:
            return f"the TTL is {left / 1000:.1f} s, expected {due:.1f} s", ""
    if second[1] >= first[1]:
        return f"the TTL does not decrease: {first[1]} ms, then {second[1]} ms", ""
    return None, f"{second[1] / 1000:.1f} s of {TTL_SECONDS} s left, decreasing"


def _expiry(reader: Client, keys: Keys, written_at: float) -> tuple[str | None, str]:
    due = written_at + SHORT_TTL_SECONDS
    time.sleep(max(0.0, due - time.monotonic()))
    expired_at = _wait_until(
        lambda: _ask(reader, _EXISTS, keys.short_key) == 0,
        _EXPIRY_TOLERANCE_SECONDS,
    )
    if expired_at is None:
        late = _EXPIRY_TOLERANCE_SECONDS
        return f"a key still exists {late:g} s after it should have expired", ""
    if _ask(reader, _EXISTS, keys.value_key) == 0:
        return "a key that should still exist is gone too", ""
    return None, f"expired {max(0.0, expired_at - due) * 1000:.0f} ms after it was due"


def _wait_until(condition: Callable[[], bool], timeout: float) -> float | None:
    """The monotonic time at which the condition first held; None after the timeout."""
    deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
    while True:
        if condition():
            return time.monotonic()
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(_LONGEST_PAUSE, pause * 2)


def _ask(client: Client, command: Command, *keys: bytes) -> Reply:
    return _checked(client.batch(command.on(*keys), 1, command.limit).replies[0])


def _checked(reply: Reply) -> Reply:
    if isinstance(reply, ReplyError):
        if reply.not_available:
            raise NotPermittedError(reply.refused)
        raise reply
    return reply
