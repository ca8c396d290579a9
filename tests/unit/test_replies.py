"""Checks of the types of replies."""

from __future__ import annotations

import pytest

from exporter.connection import RedisFailure, ReplyError, expect_type


@pytest.mark.parametrize("replies", [[], [0], [3, 1], [3, None], [None, None]])
def test_integers_and_what_was_refused(replies: list[object]) -> None:
    expect_type(int, replies, "a command")


@pytest.mark.parametrize(
    "replies",
    [
        [1, b"1"],
        [b"1"],
        [1, []],
        [[1]],
        [None, b""],
        [1, ReplyError("ERR unknown command")],
        [1, True],
        [1.0],
    ],
)
def test_anything_else_in_place_of_an_integer(replies: list[object]) -> None:
    with pytest.raises(RedisFailure, match="a command"):
        expect_type(int, replies, "a command")


@pytest.mark.parametrize(("kind", "reply"), [(bytes, 1), (list, b""), (bytes, [])])
def test_integers_in_place_of_anything_else(kind: type, reply: object) -> None:
    expect_type(kind, [kind(), None], "a command")
    with pytest.raises(RedisFailure):
        expect_type(kind, [kind(), reply], "a command")
