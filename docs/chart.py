"""`python -m docs.chart` writes the parts of the Helm chart that repeat what is elsewhere.

The dashboards, the rules with their settings left open, the schema of the configuration within that
of the values, and the version.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from exporter import __version__
from exporter.config.models import Config
from exporter.rules import ALERTS, Alert, Options, Severity
from exporter.rules.model import RuleText
from exporter.rules.render import groups, shown

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "deploy" / "helm" / "bullmq-exporter"
_SET_BY_THE_CHART: Final = (("Config", "listen"), ("Config", "connections"), ("Queues", "shard"))
_SET_OF_A_CONNECTION: Final = ("url", "password_file")
_FROM_ENVIRONMENT: Final = {"type": "string", "pattern": r"\$\{"}
"""Where a number or a boolean is expected, a variable may stand."""
_DURATION: Final = r"^(0s|([0-9]+(ms|[smhdw]))+)$"
_VERSION: Final = re.compile(r"^(version|appVersion): .*$", re.MULTILINE)

Schema = dict[str, Any]


def files() -> dict[Path, str]:
    """Path → the file, with everything that it repeats up to date."""
    schema, chart = CHART / "values.schema.json", CHART / "Chart.yaml"
    written = {
        schema: _values_schema(json.loads(schema.read_text())),
        chart: _VERSION.sub(rf"\1: {__version__}", chart.read_text()),
        CHART / "files" / "rules.yaml": _rules(),
    }
    for dashboard in sorted((ROOT / "grafana" / "dashboards").glob("*.json")):
        written[CHART / "files" / "dashboards" / dashboard.name] = dashboard.read_text()
    return written


def _rules() -> str:
    """The rules with placeholders such as `%{window}`, which the chart's template fills."""
    options = Options(
        keep_labels=("%{keep}",),
        runbook_url="%{runbook}",
        grafana_url="%{grafana}",
        status_url="%{status}",
    )
    *recordings, alerts = groups([_left_open(alert) for alert in ALERTS], options)["groups"]
    named = [
        {
            "name": alert.name,
            "settings": {name: shown(name, value) for name, value in alert.all_settings().items()},
            **{key: rule[key] for key in ("expr", "labels", "annotations")},
        }
        for alert, rule in zip(ALERTS, alerts["rules"], strict=True)
    ]
    content = {"recordings": recordings, "alerts": named}
    return "# Generated from exporter/rules/ by make docs.\n" + yaml.safe_dump(
        content, sort_keys=False, width=100_000, allow_unicode=True
    )


def _left_open(alert: Alert) -> Alert:
    """The alert with `%{above}` where the value of a setting would be."""
    names = {name: f"%%{{{name}}}" for name in alert.all_settings()}
    return replace(alert, expr=RuleText(alert.expr).safe_substitute(names))


def _values_schema(schema: Schema) -> str:
    """The schema of the values with the generated definitions."""
    properties = schema["properties"]["prometheusRule"]["properties"]
    properties["set"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {alert.name: _alert_schema(alert) for alert in ALERTS},
    }
    properties["without"] = {"type": "array", "items": {"enum": [alert.name for alert in ALERTS]}}
    return json.dumps(schema | {"$defs": _config_schemas()}, indent=2) + "\n"


def _alert_schema(alert: Alert) -> Schema:
    """The settings of an alert, with what `bullmq-exporter rules --set` accepts of them."""
    durations = {"type": "string", "pattern": _DURATION}
    kinds = {
        name: durations if name in {"for", "window"} else {"type": "number", "minimum": 0}
        for name in alert.all_settings()
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {"severity": {"enum": [str(each) for each in Severity]}, **kinds},
    }


def _config_schemas() -> dict[str, Schema]:
    """The models of the configuration by name, without what the chart sets itself."""
    whole = Config.model_json_schema(mode="serialization")
    models: dict[str, Schema] = {**whole.pop("$defs"), "Config": whole}
    for name, key in _SET_BY_THE_CHART:
        del models[name]["properties"][key]
    for key in _SET_OF_A_CONNECTION:
        del models["Connection"]["properties"][key]
    for name in ("Config", "Connection"):
        models[name].pop("required")
    return {name: _accepted(model) for name, model in sorted(models.items())}


def _accepted(schema: Any) -> Any:
    """The schema of what may be written for it, without descriptions and defaults."""
    if isinstance(schema, list):
        return [_accepted(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: {name: _accepted(each) for name, each in value.items()}
        if key == "properties"
        else _accepted(value)
        for key, value in schema.items()
        if key not in {"title", "description", "default", "format"}
    }
    if kept.get("type") in ("integer", "number", "boolean"):
        return {"anyOf": [kept, _FROM_ENVIRONMENT]}
    return kept


def main() -> None:
    """Write every file."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
