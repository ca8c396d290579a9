"""Formats facts for people, the same in the terminal and on the status page. Pure: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

UNKNOWN: Final = "?"
"""Shown for an unknown value, since 0 would be a false value."""


def counted(count: int, what: str) -> str:
    """`1 queue`, `2 queues`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """A name from Redis without control characters and others that could change the layout."""
    return text if text.isprintable() else "".join(c if c.isprintable() else UNKNOWN for c in text)


def age(seconds: float | None) -> str:
    """A duration in the largest unit of which it has at least two; `-` for none."""
    if seconds is None:
        return UNKNOWN
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds else "-"


def number(value: float | None) -> str:
    """An integer with commas between thousands."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A rate; below 10 with one decimal."""
    if value is None:
        return UNKNOWN
    return "0" if value == 0 else f"{value:.1f}" if value < 10 else number(value)


def size(value: float | None) -> str:
    """Bytes in the unit that leaves at most three digits before the decimal point."""
    if value is None:
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def clock(moment: float) -> str:
    """Unix time as a time of day in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S UTC")
