"""Alert and recording rules, with all thresholds in one place."""

from exporter.rules.alerts import ALERTS, threshold
from exporter.rules.change import (
    RuleError,
    about_slos,
    changed,
    label_names,
    label_pairs,
    scaled,
    without,
)
from exporter.rules.grafana import grafana_rules
from exporter.rules.model import Alert, Severity
from exporter.rules.recordings import RECORDINGS
from exporter.rules.render import (
    DEFAULT_RUNBOOK_URL,
    Options,
    Part,
    is_placeholder,
    prometheus_rule,
    rules_file,
    settings_table,
)
from exporter.rules.settings import RuleSettings, load_settings, read_settings
from exporter.rules.slo_formats import Objective, openslo, sloth

__all__ = [
    "ALERTS",
    "DEFAULT_RUNBOOK_URL",
    "RECORDINGS",
    "Alert",
    "Objective",
    "Options",
    "Part",
    "RuleError",
    "RuleSettings",
    "Severity",
    "about_slos",
    "changed",
    "grafana_rules",
    "is_placeholder",
    "label_names",
    "label_pairs",
    "load_settings",
    "openslo",
    "prometheus_rule",
    "read_settings",
    "rules_file",
    "scaled",
    "settings_table",
    "sloth",
    "threshold",
    "without",
]
