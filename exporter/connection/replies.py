"""Checks of the types of replies: the peer may not be Redis, or reply to another command.

A reply of a wrong type is a `RedisFailure` of the class `protocol`. Its text never contains the
reply, which may be private data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from types import NoneType
from typing import Any, Final

from exporter.connection.errors import ErrorClass, RedisFailure

_STRING: Final = frozenset({bytes})
_LIST: Final = frozenset({list})
_OPTIONAL: Final = frozenset({bytes, NoneType})


def unexpected(what: str) -> RedisFailure:
    """The failure for an invalid reply to `what`."""
    return RedisFailure(ErrorClass.PROTOCOL, f"unexpected reply to {what}")


def expect_type(kind: type, replies: Sequence[Any], what: str) -> None:
    """Check that each reply is of that type or None. Raises `RedisFailure`."""
    types = list(map(type, replies))
    # nearly always all are of that type, and to count takes half the time of looking each one up
    if types.count(kind) != len(types) and not {kind, NoneType}.issuperset(types):
        raise unexpected(what)


def expect_lists(
    replies: Iterable[Any], what: str, sizes: frozenset[int] | None = None, *, gaps: bool = False
) -> None:
    """Check that each reply is a list of strings or None. Raises `RedisFailure`.

    `sizes` are the permitted lengths of the lists; with `gaps`, their members may be None.
    """
    lists = [reply for reply in replies if reply is not None]
    if not _LIST.issuperset(map(type, lists)):
        raise unexpected(what)
    members = _OPTIONAL if gaps else _STRING
    if not members.issuperset(map(type, chain.from_iterable(lists))):
        raise unexpected(what)
    if sizes is not None and not sizes.issuperset(map(len, lists)):
        raise unexpected(what)


def expect_int(reply: Any, what: str) -> int:
    """The reply, if it is an integer. Raises `RedisFailure`."""
    if type(reply) is not int:
        raise unexpected(what)
    return reply


def expect_string(reply: Any, what: str) -> bytes:
    """The reply, if it is a string. Raises `RedisFailure`."""
    if type(reply) is not bytes:
        raise unexpected(what)
    return reply


def is_string_list(reply: Any) -> bool:
    """Whether the reply is a list of strings."""
    return type(reply) is list and _STRING.issuperset(map(type, reply))


def is_field_list(reply: Any, count: int) -> bool:
    """Whether the reply is a list of `count` strings, any of which may be None."""
    return type(reply) is list and len(reply) == count and _OPTIONAL.issuperset(map(type, reply))
