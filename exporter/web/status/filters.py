"""The template's filters, which format numbers and times. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from exporter.views.formatting import UNKNOWN, age, printable


def number(value: float | None) -> str:
    """An integer with commas between thousands."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A rate; below 10 with one decimal."""
    if value is None:
        return UNKNOWN
    return "0" if value == 0 else f"{value:.1f}" if value < 10 else number(value)


def milliseconds(seconds: float | None) -> str:
    """A latency in milliseconds."""
    if seconds is None:
        return UNKNOWN
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


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
