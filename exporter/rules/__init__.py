"""Alert and recording rules, with all thresholds in one place."""

from exporter.rules.alerts import ALERTS, threshold
from exporter.rules.change import RuleError, changed, label_names, label_pairs, scaled, without
from exporter.rules.model import Alert, Severity
from exporter.rules.recordings import RECORDINGS
from exporter.rules.render import (
    DEFAULT_RUNBOOK_URL,
    Options,
    is_placeholder,
    prometheus_rule,
    rules_file,
    settings_table,
)

__all__ = [
    "ALERTS",
    "DEFAULT_RUNBOOK_URL",
    "RECORDINGS",
    "Alert",
    "Options",
    "RuleError",
    "Severity",
    "changed",
    "is_placeholder",
    "label_names",
    "label_pairs",
    "prometheus_rule",
    "rules_file",
    "scaled",
    "settings_table",
    "threshold",
    "without",
]
