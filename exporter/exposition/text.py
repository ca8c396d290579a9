"""The two text formats: escaping, numbers, headers and sample lines.

Most samples are the same bytes in both formats; the headers and the end differ. prometheus_client
is not used here because its writer is about fifty times slower for a large page. The tests read
every page with its parsers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from exporter.exposition.formats import Format
from exporter.metrics import Family, MetricType


def header(family: Family, form: Format) -> str:
    """The HELP, TYPE and UNIT lines of a family."""
    name = family.name
    lines = []
    if form is Format.OPENMETRICS:
        if family.kind is MetricType.COUNTER:
            name = name.removesuffix("_total")
        text = escape(family.help)
        if family.unit and name.endswith(f"_{family.unit}"):
            lines.append(f"# UNIT {name} {family.unit}\n")
    else:
        text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    return "".join([f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n", *lines])


def ending(form: Format) -> str:
    """The end marker of a page; empty in the text format."""
    return "# EOF\n" if form is Format.OPENMETRICS else ""


def escape(value: str) -> str:
    """Escape a label value."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def labels(names: Sequence[str], values: Iterable[str]) -> str:
    """`name="value",…` without the braces."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True))


def number(value: float) -> str:
    """A sample's value: integers without a fraction, other numbers at full precision."""
    if isinstance(value, float):
        if math.isinf(value):
            return "+Inf" if value > 0 else "-Inf"
        if math.isnan(value):
            return "NaN"
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
    return str(int(value)) if isinstance(value, bool) else str(value)


def sample(name: str, label_text: str, value: float) -> str:
    """One sample line."""
    return (
        f"{name}{{{label_text}}} {number(value)}\n" if label_text else f"{name} {number(value)}\n"
    )
