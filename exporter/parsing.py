"""Parses numbers in untrusted strings, and limits their size. Pure."""

from __future__ import annotations

import math
from typing import Any, Final, TypeGuard

MAX_LABEL_BYTES: Final = 1024
"""Maximum size of a string from Redis that becomes the value of a label."""
OTHER: Final = "__other__"
"""The value of a label that stands for all values beyond a maximum, and for unknown ones."""
_MAX_DIGITS: Final = 20
"""Digits of an unsigned 64-bit integer."""


def is_digits(value: Any) -> TypeGuard[bytes]:
    """Whether the value is a string of digits, no longer than an unsigned 64-bit integer."""
    return type(value) is bytes and value.isdigit() and len(value) <= _MAX_DIGITS


def finite(value: str | bytes) -> float | None:
    """The string as a number; None if it is not a number, or not finite."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_MAX_ID_BYTES: Final = 200


def id_text(job: bytes) -> str:
    """A job's ID as text, truncated: anyone who may write to Redis chooses it."""
    return job[:_MAX_ID_BYTES].decode("utf-8", "backslashreplace")
