"""Compares the exporter's findings with a real Prometheus and the same alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.findings.conditions import NO_CONDITION
from exporter.rules import ALERTS
from exporter.rules.render import groups
from tests.support.prometheus import Prometheus

Found = tuple[str, frozenset[tuple[str, str]]]
"""An alert's full name, and its labels without those of the target."""

NEEDS_HISTORY = {"BullMQQueueNotDraining", "BullMQBacklogGrowing", "BullMQKeptJobsFillMemory"}
"""Alerts that fire after a delay, instead of which a finding needs history."""
TARGET_LABELS = {"job", "instance", "__name__"}
_UNKNOWABLE = {f"BullMQ{name}" for name in NO_CONDITION}


def found_by_exporter(health: Mapping[str, Any]) -> set[Found]:
    """The findings and symptoms in a response of /health/queues."""
    return {
        (each["alert"], frozenset(each["labels"].items()))
        for each in [*health["findings"], *health["symptoms"]]
        if each["alert"] is not None
    }


def found_by_prometheus(prometheus: Prometheus, job: str = "") -> set[Found]:
    """The current results of each alert's expression, with the default thresholds.

    With `job`, only those of that one.
    """
    rules = {rule["alert"]: rule["expr"] for rule in groups(ALERTS)["groups"][-1]["rules"]}
    return {
        (name, frozenset((key, text) for key, text in labels.items() if key not in TARGET_LABELS))
        for name, expr in rules.items()
        if name not in _UNKNOWABLE
        for labels, _ in prometheus.query(expr)
        if not job or labels["job"] == job
    }


def disagreement(
    health: Mapping[str, Any], prometheus: Prometheus, *, job: str = "", connection: str = ""
) -> dict[str, set[Found]]:
    """Findings that only one of the two has; empty if they agree.

    With `job` or `connection`, only Prometheus's findings about that one are compared.
    """
    ours, theirs = found_by_exporter(health), found_by_prometheus(prometheus, job)
    if connection:
        theirs = {found for found in theirs if ("connection", connection) in found[1]}
    missing = {found for found in theirs - ours if found[0] not in NEEDS_HISTORY}
    return {
        name: found for name, found in (("extra", ours - theirs), ("missing", missing)) if found
    }
