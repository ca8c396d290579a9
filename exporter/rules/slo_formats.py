"""The SLOs of a configuration for Sloth and as OpenSLO.

Both know one ratio of late to all for an SLO. So each of ours becomes two, one for jobs and one for
time: the SLO holds while both do, as in our own rules. An SLO there has no labels of queues; its
queues, and the jobs of Prometheus, count together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter.parsing import duration_text
from exporter.rules.model import Severity
from exporter.rules.slos import SLO_ALERTS
from exporter.rules.yaml_text import yaml_text


@dataclass(frozen=True, slots=True)
class Objective:
    """An SLO as configured."""

    name: str
    pattern: str
    """The glob pattern of its queues."""
    starts: bool
    """Whether it is about the time until jobs start, and not about how long they run."""
    target_seconds: float
    percent: float


@dataclass(frozen=True, slots=True)
class _Indicator:
    """What is counted, and how much of it is late."""

    name: str
    late: str
    every: str


_INDICATORS: Final = (
    _Indicator("jobs", "bullmq_slo_late_jobs_total", "bullmq_slo_jobs_total"),
    _Indicator("time", "bullmq_slo_late_seconds_total", "bullmq_slo_seconds_total"),
)


def sloth(objectives: Sequence[Objective], service: str, runbook_url: str) -> str:
    """A specification for Sloth, `prometheus/v1`."""
    return yaml_text(
        {
            "version": "prometheus/v1",
            "service": service,
            "slos": [
                _sloth_slo(objective, indicator, runbook_url)
                for objective, indicator in _pairs(objectives)
            ],
        }
    )


def openslo(objectives: Sequence[Objective], service: str) -> str:
    """The service and its SLOs, `openslo/v1`."""
    head = {"apiVersion": "openslo/v1", "kind": "Service", "metadata": {"name": service}}
    return yaml_text(
        head | {"spec": {"description": "Queues of BullMQ"}},
        *(
            _openslo_slo(objective, indicator, service)
            for objective, indicator in _pairs(objectives)
        ),
    )


def _pairs(objectives: Sequence[Objective]) -> Iterator[tuple[Objective, _Indicator]]:
    for objective in objectives:
        for indicator in _INDICATORS:
            yield objective, indicator


def _sloth_slo(objective: Objective, indicator: _Indicator, runbook_url: str) -> dict[str, Any]:
    page, ticket = (
        next(alert for alert in SLO_ALERTS if alert.severity is severity)
        for severity in (Severity.CRITICAL, Severity.WARNING)
    )
    late, every = (
        f"sum(rate({name}{_selector(objective)}[{{{{.window}}}}]))"
        for name in (indicator.late, indicator.every)
    )
    return {
        "name": f"{objective.name}-{indicator.name}",
        "objective": objective.percent,
        "description": _description(objective, indicator),
        "labels": {"slo": objective.name},
        "sli": {"events": {"error_query": late, "total_query": every}},
        "alerting": {
            "name": "BullMQErrorBudget",
            "annotations": {
                "summary": f"SLO burns its error budget: {objective.name} ({indicator.name})"
            },
            **{
                f"{kind}_alert": {
                    "labels": {"severity": str(alert.severity)},
                    "annotations": {"runbook_url": f"{runbook_url}#{alert.anchor}"},
                }
                for kind, alert in (("page", page), ("ticket", ticket))
            },
        },
    }


def _openslo_slo(objective: Objective, indicator: _Indicator, service: str) -> dict[str, Any]:
    name, selector = f"{objective.name}-{indicator.name}", _selector(objective)
    sources = {
        kind: {"metricSource": {"type": "Prometheus", "spec": {"query": f"sum({of}{selector})"}}}
        for kind, of in (("bad", indicator.late), ("total", indicator.every))
    }
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name},
        "spec": {
            "description": _description(objective, indicator),
            "service": service,
            "indicator": {
                "metadata": {"name": name},
                "spec": {"ratioMetric": {"counter": True, **sources}},
            },
            "timeWindow": [{"duration": "30d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": name, "target": round(objective.percent / 100, 12)}],
        },
    }


def _selector(objective: Objective) -> str:
    return f'{{slo="{objective.name}"}}'


def _description(objective: Objective, indicator: _Indicator) -> str:
    verb, noun = ("start", "started") if objective.starts else ("end", "ended")
    target = duration_text(objective.target_seconds)
    if indicator.name == "jobs":
        return f"{objective.percent:g} % of the jobs of {objective.pattern} {verb} within {target}."
    return (
        f"For {objective.percent:g} % of the time, no job of {objective.pattern} is beyond "
        f"{target} while none is {noun}."
    )
