"""The template's filters, which format numbers and times. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from exporter.views.formatting import UNKNOWN, age, clock, number, printable, rate, size


def milliseconds(seconds: float | None) -> str:
    """A latency in milliseconds."""
    if seconds is None:
        return UNKNOWN
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def stamp(moment: float) -> str:
    """Unix time as ISO 8601."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def urlpart(text: str) -> str:
    """A name as the value of a parameter in a URL."""
    return quote(text, safe="", errors="replace")


FILTERS: Final[dict[str, Callable[[Any], str]]] = {
    "age": age,
    "clock": clock,
    "milliseconds": milliseconds,
    "number": number,
    "printable": printable,
    "rate": rate,
    "size": size,
    "stamp": stamp,
    "urlpart": urlpart,
}
