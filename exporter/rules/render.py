"""Rules as text: a rules file of Prometheus, or a PrometheusRule of its operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from exporter.rules.alerts import ALERTS
from exporter.rules.model import Alert, RuleText, Setting
from exporter.rules.recordings import RECORDINGS

_LISTS = {
    "queue": ("connection", "prefix", "queue"),
    "connection": ("connection",),
    "pair": ("writer", "reader"),
    "writer": ("writer",),
    "reader": ("reader",),
    "isolation": ("prefix", "queue", "producer_connection", "worker_connection"),
}
_HEADER = """\
# Printed by `bullmq-exporter rules`, which takes other thresholds, labels and addresses:
# bullmq-exporter rules --set JobsWaitingTooLong.above_seconds=600 --grafana-url https://...
"""
# label of an alert → variable of a dashboard
_VARIABLES = ("connection", "prefix", "queue")


@dataclass(frozen=True, slots=True)
class Options:
    """How rules are written."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels of every alert, for routing."""
    keep_labels: Sequence[str] = ()
    """Target labels that tell queues apart besides job, as namespace."""
    runbook_url: str = "docs/runbook.md"
    """Where the runbook is; sections are anchors in it."""
    grafana_url: str = ""
    """Where Grafana is; empty for links within it."""


def groups(alerts: Sequence[Alert] = ALERTS, options: Options | None = None) -> dict[str, Any]:
    """The groups of a rules file."""
    chosen = options or Options()
    lists = _label_lists(chosen.keep_labels)
    recordings = [
        {"record": rule.name, "expr": RuleText(rule.expr).substitute(lists)} for rule in RECORDINGS
    ]
    alerting = [_alert(alert, lists, chosen) for alert in alerts]
    return {
        "groups": [
            {"name": "bullmq-recordings", "rules": recordings},
            {"name": "bullmq-alerts", "rules": alerting},
        ]
    }


def rules_file(alerts: Sequence[Alert] = ALERTS, options: Options | None = None) -> str:
    """A rules file of Prometheus."""
    return _HEADER + _yaml(groups(alerts, options))


def prometheus_rule(
    alerts: Sequence[Alert], options: Options, name: str, namespace: str | None
) -> str:
    """A PrometheusRule, for the Prometheus operator."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata,
            "spec": groups(alerts, options),
        }
    )


def settings_table(alerts: Sequence[Alert]) -> str:
    """The alerts with what can be set, for people."""
    width = max((len(alert.name) for alert in alerts), default=0)
    lines = []
    for alert in alerts:
        settings = " ".join(
            f"{name}={shown(name, setting)}" for name, setting in alert.all_settings().items()
        )
        lines.append(f"{alert.name:{width}}  severity={alert.severity} {settings}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """As Prometheus writes it: 90 → 90s, 300 → 5m."""
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms" if seconds else "0s"


def shown(name: str, setting: Setting) -> str:
    """A setting as it stands in PromQL: thresholds are numbers, windows are durations."""
    return duration(setting.value) if name in {"window", "for"} else f"{setting.value:g}"


def _label_lists(keep: Sequence[str]) -> dict[str, str]:
    return {name: ", ".join(["job", *keep, *labels]) for name, labels in _LISTS.items()}


def _alert(alert: Alert, lists: Mapping[str, str], options: Options) -> dict[str, Any]:
    values = {name: shown(name, setting) for name, setting in alert.all_settings().items()}
    rule: dict[str, Any] = {
        "alert": alert.full_name,
        "expr": RuleText(alert.expr).substitute(lists, **values),
    }
    if alert.wait.value:
        rule["for"] = duration(alert.wait.value)
    rule["labels"] = {"severity": str(alert.severity), **options.labels}
    rule["annotations"] = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{options.runbook_url}#{alert.full_name.lower()}",
        "dashboard_url": _dashboard_url(alert, options.grafana_url),
    }
    return rule


def _dashboard_url(alert: Alert, grafana: str) -> str:
    """The alert's dashboard, at the queue or the connection that it is about."""
    query = "&".join(
        f"var-{name}={{{{ $labels.{name} | urlquery }}}}"
        for name in _VARIABLES
        if f"$labels.{name} " in alert.summary + alert.description
    )
    return f"{grafana.rstrip('/')}/d/{alert.dashboard}" + (f"?{query}" if query else "")


class _Dumper(yaml.SafeDumper):
    """Lists are indented, and nothing is folded: one line of PromQL stays one line."""

    # the signature is PyYAML's
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=100_000, allow_unicode=True)
