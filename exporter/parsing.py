"""Numbers out of texts that others wrote. Pure."""

from __future__ import annotations

import math
from typing import Any, Final, TypeGuard

_MOST_DIGITS: Final = 20
"""Of an unsigned number of 64 bits."""


def is_digits(value: Any) -> TypeGuard[bytes]:
    """Whether it is a text of digits, no more than an unsigned number of 64 bits has."""
    return type(value) is bytes and value.isdigit() and len(value) <= _MOST_DIGITS


def finite(value: str | bytes) -> float | None:
    """The number that a text says; None where it is none, or has no end."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
