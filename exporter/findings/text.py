"""Fills in the texts of alerts as Prometheus does, so that a page and an alert say the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from exporter.views.formatting import printable

_TEMPLATE: Final = re.compile(r"\{\{ \$(?:labels\.(\w+)|value(?: \| (\w+))?) \}\}")


def fill(text: str, labels: Mapping[str, str], value: float) -> str:
    """The text with labels and value in place of its templates."""

    def replace(match: re.Match[str]) -> str:
        label, function = match.groups()
        if label is not None:
            return printable(labels.get(label, ""))
        return _FUNCTIONS[function or "humanize"](value)

    return _TEMPLATE.sub(replace, text)


def humanize(value: float) -> str:
    """Four significant digits, as the function of the same name in Prometheus."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{prefix}"
    return f"{value:.4g}"


def humanize_duration(seconds: float) -> str:
    """`1h 1m 5s`, as the function of the same name in Prometheus."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.4g}ms" if seconds else "0s"
    minutes, rest = divmod(abs(int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    sign = "-" if seconds < 0 else ""
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {rest}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {rest}s"
    return f"{sign}{minutes}m {rest}s" if minutes else f"{sign}{seconds:.4g}s"


def humanize_percentage(value: float) -> str:
    """`12.5%`."""
    return f"{value * 100:.4g}%"


_FUNCTIONS: Final = {
    "humanize": humanize,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
}
