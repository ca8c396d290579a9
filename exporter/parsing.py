"""Parses numbers and durations in untrusted strings, and limits their size. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
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


_UNIT_SECONDS: Final[Mapping[str, float]] = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
}
_DURATION_PART: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|[smhdw])")
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+")


def duration_seconds(text: str) -> float | None:
    """A duration as Prometheus writes it, in seconds: `30s`, `1h30m`; None if it is none."""
    if len(text) > _MAX_DURATION or _DURATION.fullmatch(text) is None:
        return None
    return sum(float(n) * _UNIT_SECONDS[unit] for n, unit in _DURATION_PART.findall(text))


def duration_text(seconds: float) -> str:
    """A duration as Prometheus writes it: 90 → 90s, 300 → 5m."""
    for unit in ("h", "m", "s"):
        size = _UNIT_SECONDS[unit]
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms" if seconds else "0s"


_MAX_DURATION: Final = 100
"""Characters of a duration."""
_MAX_ID_BYTES: Final = 200


def id_text(job: bytes) -> str:
    """A job's ID as text, truncated: anyone who may write to Redis chooses it."""
    return job[:_MAX_ID_BYTES].decode("utf-8", "backslashreplace")
