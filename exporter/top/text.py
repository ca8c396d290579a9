"""Text for the screen: names from Redis cannot change it, and numbers have a limited width."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Final

from exporter.views.formatting import UNKNOWN, printable

_BARS: Final = "▁▂▃▄▅▆▇█"
_EMOJI_STYLE: Final = "\N{VARIATION SELECTOR-16}"
"""Asks for a symbol in color and twice as wide; terminals disagree about the width."""


def safe(text: str) -> str:
    """Text from Redis as one line of which the width is known."""
    return printable(text.replace(_EMOJI_STYLE, ""))


def count(value: float | None) -> str:
    """A number of jobs in at most seven characters, rounded down if there are a million."""
    if value is None:
        return UNKNOWN
    if value < 1_000_000:
        return f"{value:,.0f}"
    for unit, size in (("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)):
        if value < 100_000 * size:
            return f"{value // size:,.0f}{unit}"
    return f"{value:.0e}"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as bars, the newest at the right; NaN, unknown, is a blank.

    The highest bar is the largest value; a value of 0 is a line at the bottom, and what is more
    than 0 is higher than that.
    """
    shown = values[-width:]
    most = max((value for value in shown if not isnan(value)), default=0.0)
    return "".join(_bar(value, most) for value in shown).rjust(width)


def _bar(value: float, most: float) -> str:
    if isnan(value):
        return " "
    if value <= 0 or most <= 0:
        return _BARS[0]
    return _BARS[max(1, round(value / most * (len(_BARS) - 1)))]
