"""Limits on replies, checked before they are parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.connection import ErrorClass
from exporter.connection.command import CONNECTION_COMMANDS
from exporter.connection.reply_bound import MAX_BATCH_BYTES, OversizedReplyError, ReplyBound


def checked(data: bytes, *, limit: int = 6000, step: int = 1) -> ReplyBound:
    bound = ReplyBound(limit)
    for start in range(0, len(data), step):
        bound.add(data[start : start + step])
    return bound


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        b"*1000000000\r\n",
        b"%1000000000\r\n",
        b"~1000000000\r\n",
        b">1000000000\r\n",
        b"|1000000000\r\n",
        b"*2\r\n$1\r\nx\r\n*1000000000\r\n",
        b":1\r\n+OK\r\n-ERR no\r\n$-1\r\n*-1\r\n*1000000000\r\n",
        b"$5\r\n\r\n*12\r\n*1000000000\r\n",
        b"*1999\r\n*1999\r\n",
        b"%1001\r\n",
    ],
)
def test_impossible_list_lengths_are_rejected(data: bytes, step: int) -> None:
    with pytest.raises(OversizedReplyError) as caught:
        checked(data, step=step)
    assert caught.value.kind is ErrorClass.PROTOCOL


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        b"$15\r\n\n*1000000000\r\n\r\n:1\r\n",
        b"*1\r\n$17\r\n\r\n*1000000000\r\n\r\n\r\n:1\r\n*2\r\n:1\r\n:2\r\n",
        b"*1200\r\n" + b":1\r\n" * 1200,
        b"+\n*1000000000\r\n",
    ],
)
def test_values_that_look_like_list_headers_pass(data: bytes, step: int) -> None:
    """A value that a user writes must not end the connection."""
    assert checked(data, step=step).size == len(data)


def test_the_number_of_bytes_is_limited() -> None:
    assert checked(b"x" * 100, limit=100).size == 100
    with pytest.raises(OversizedReplyError, match="received more than the 100 bytes of a reply"):
        checked(b"x" * 101, limit=100)
    with pytest.raises(OversizedReplyError):
        ReplyBound(1 << 40).add(bytes(MAX_BATCH_BYTES + 1))


values = st.recursive(
    st.binary(max_size=8) | st.sampled_from([b"\n*1000000\r\n", b"*9999", b"$5\r\nx"]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(values, min_size=1, max_size=5), st.integers(1, 50))
def test_every_reply_within_the_limit_passes(replies: list[object], step: int) -> None:
    data = b"".join(map(_packed, [*replies, [b"\n*1000"]]))
    assert checked(data, limit=len(data), step=step).size == len(data)


def _packed(value: object) -> bytes:
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(_packed, value))
    assert isinstance(value, bytes)
    return b"$%d\r\n%s\r\n" % (len(value), value)


def test_every_command_has_a_limit() -> None:
    assert all(0 < command.limit <= MAX_BATCH_BYTES for command in CONNECTION_COMMANDS)
