"""What replies look like. Whatever answers need not be Redis, nor the answer to what was asked.

A reply of a wrong type is a `RedisFailure` of the class `protocol`; its text never holds the reply,
which may be somebody's data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import NoneType
from typing import Any, Final, TypeGuard

from exporter.connection.errors import ErrorClass, RedisFailure

_TEXT: Final = frozenset({bytes})
_OPTIONAL: Final = frozenset({bytes, NoneType})


def unexpected(what: str) -> RedisFailure:
    """The failure for a reply to `what` that no Redis gives."""
    return RedisFailure(ErrorClass.PROTOCOL, f"{what} was answered in a way that no Redis answers")


def all_of(kind: type, replies: Sequence[Any], what: str) -> None:
    """See that all are of that type, or None. Raises `RedisFailure`."""
    if not {kind, NoneType}.issuperset(map(type, replies)):
        raise unexpected(what)


def whole(reply: Any, what: str) -> int:
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


def is_scored(reply: Any) -> bool:
    """Whether it is a member with its score, or empty where there is no member."""
    return are_texts(reply) and len(reply) in (0, 2) and (not reply or _is_number(reply[1]))


def is_digits(value: Any) -> TypeGuard[bytes]:
    """Whether it is a text of digits, as many as an unsigned number of 64 bits has at the most."""
    return type(value) is bytes and value.isdigit() and len(value) <= 20


def finite(value: str | bytes) -> float | None:
    """The number that a text says; None where it is none, or has no end."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_number(value: bytes) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
