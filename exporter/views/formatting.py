"""Formats facts for people, the same in the terminal and on the status page. Pure: no I/O."""

from __future__ import annotations

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
