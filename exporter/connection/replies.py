"""What replies look like. Whatever answers need not be Redis, nor the answer to what was asked.

A reply of a wrong type is a `RedisFailure` of the class `protocol`; its text never holds the reply,
which may be somebody's data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from types import NoneType
from typing import Any, Final

from exporter.connection.errors import ErrorClass, RedisFailure

_TEXT: Final = frozenset({bytes})
_LIST: Final = frozenset({list})
_OPTIONAL: Final = frozenset({bytes, NoneType})


def unexpected(what: str) -> RedisFailure:
    """The failure for a reply to `what` that no Redis gives."""
    return RedisFailure(ErrorClass.PROTOCOL, f"{what} was answered in a way that no Redis answers")


def expect_type(kind: type, replies: Sequence[Any], what: str) -> None:
    """See that all are of that type, or None. Raises `RedisFailure`."""
    if not {kind, NoneType}.issuperset(map(type, replies)):
        raise unexpected(what)


def expect_lists(
    replies: Iterable[Any], what: str, sizes: frozenset[int] | None = None, *, gaps: bool = False
) -> None:
    """See that all are lists of texts, or None; with `sizes` so long, with `gaps` any may be None.

    Raises `RedisFailure`.
    """
    lists = [reply for reply in replies if reply is not None]
    if not _LIST.issuperset(map(type, lists)):
        raise unexpected(what)
    members = _OPTIONAL if gaps else _TEXT
    if not members.issuperset(map(type, chain.from_iterable(lists))):
        raise unexpected(what)
    if sizes is not None and not sizes.issuperset(map(len, lists)):
        raise unexpected(what)


def expect_int(reply: Any, what: str) -> int:
    """A whole number. Raises `RedisFailure`."""
    if type(reply) is not int:
        raise unexpected(what)
    return reply


def text(reply: Any, what: str) -> bytes:
    """A text. Raises `RedisFailure`."""
    if type(reply) is not bytes:
        raise unexpected(what)
    return reply


def are_texts(reply: Any) -> bool:
    """Whether it is a list of texts."""
    return type(reply) is list and _TEXT.issuperset(map(type, reply))


def are_fields(reply: Any, count: int) -> bool:
    """Whether it is a list of so many texts, of which any may be missing."""
    return type(reply) is list and len(reply) == count and _OPTIONAL.issuperset(map(type, reply))
