"""Dashboards that ask for their data source when they are imported, for grafana.com and by hand.

A dashboard that is provisioned has a variable for the data source. One to import has an input
instead, which the dialog of the import fills in, and says what it requires.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

_VARIABLE: Final = "datasource"
_INPUT: Final = "DS_PROMETHEUS"
_GRAFANA: Final = "11.0.0"
"""The oldest version for which the dashboards are made."""
_PANELS: Final = {
    "heatmap": "Heatmap",
    "stat": "Stat",
    "state-timeline": "State timeline",
    "table": "Table",
    "timeseries": "Time series",
}


def importable(dashboard: str) -> str:
    """The dashboard with an input in place of the variable, on one line."""
    text = dashboard.replace(f"${{{_VARIABLE}}}", f"${{{_INPUT}}}")
    # the data source of an imported dashboard is fixed, so links have none to pass on
    content = json.loads(text.replace(f"&${{{_VARIABLE}:queryparam}}", ""))
    variables = content["templating"]["list"]
    content["templating"]["list"] = [each for each in variables if each["name"] != _VARIABLE]
    content |= {"editable": True, "id": None, "__elements": {}}
    content["__inputs"] = [
        {
            "name": _INPUT,
            "label": "Prometheus",
            "description": "The Prometheus that scrapes bullmq-exporter",
            "type": "datasource",
            "pluginId": "prometheus",
            "pluginName": "Prometheus",
        }
    ]
    content["__requires"] = list(_required(content))
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def _required(content: dict[str, Any]) -> Iterator[dict[str, str]]:
    yield {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _GRAFANA}
    yield {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"}
    panels = [*content["panels"], *(p for row in content["panels"] for p in row.get("panels", ()))]
    for kind in sorted({panel["type"] for panel in panels} - {"row"}):
        yield {"type": "panel", "id": kind, "name": _PANELS[kind], "version": ""}
