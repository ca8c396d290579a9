"""The committed dashboards, their panels, and their queries as Grafana sends them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
Dashboard = dict[str, Any]

VALUES = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__range": "1h",
    "job": ".+",
    "instance": ".+",
    "connection": ".+",
    "prefix": ".+",
    "queue": ".+",
    "job_name": ".*",
    "slo": ".+",
}
"""Values of the variables that select everything."""


def load(file: Path) -> Dashboard:
    loaded: Dashboard = json.loads(file.read_text())
    return loaded


def panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """All panels except rows, including those of collapsed rows."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def targets(dashboard: Dashboard) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every target with the title of its panel."""
    for panel in panels(dashboard):
        yield from ((panel["title"], target) for target in panel["targets"])


def variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard["templating"]["list"]
    return found


def variable_query(variable: Mapping[str, Any]) -> tuple[str, str]:
    """Selector and label of a `label_values` query."""
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert match, variable["query"]
    return match[1], match[2]


def filled(expr: str, values: Mapping[str, str] = VALUES) -> str:
    """The expression with every variable replaced, and with the `$1` of `label_replace`."""
    return re.sub(r"\$([a-z_]\w*)", lambda match: values[match[1]], expr)
