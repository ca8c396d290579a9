"""Facts as people read them, the same in the terminal and on the status page. Pure."""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "?"
"""Stands where a fact is not known; 0 is a fact."""


def counted(count: int, what: str) -> str:
    """`1 queue`, `2 queues`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """A name from Redis without what could break a line or turn its direction."""
    return text if text.isprintable() else "".join(c if c.isprintable() else UNKNOWN for c in text)


def age(seconds: float | None) -> str:
    """In the largest unit of which there are two."""
    if seconds is None:
        return UNKNOWN
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds else "-"
