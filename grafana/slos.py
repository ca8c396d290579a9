"""BullMQ / SLOs: how much of the error budgets is left, and what burns them?"""

from __future__ import annotations

from typing import Final

from exporter.rules import threshold
from exporter.rules.slos import BUDGET_LEFT, SLOS, burn_rate
from grafana import thresholds
from grafana.panels import (
    GREEN,
    JOBS_PER_SECOND,
    RED,
    YELLOW,
    Column,
    Panel,
    Query,
    Row,
    build,
    label_variable,
    lines,
    rows,
    stats,
)
from grafana.promql import BY_QUEUE, QUEUE, RULE, gauge, per_job, rate, top, where
from grafana.variables import queues

_SLO: Final = 'slo=~"$slo"'
_BY_SLO: Final = f"{BY_QUEUE}, slo"
_LEGEND: Final = "{{slo}} of {{queue}} on {{connection}} ({{job}})"
_NO_RULES: Final = "Needs slos, and the rules"
_NO_SLOS: Final = "Needs slos"
_BURNED: Final = ((None, GREEN), (0.5, YELLOW), (1, RED))
_LEFT: Final = ((None, RED), (0, YELLOW), (0.5, GREEN))


def dashboard() -> str:
    """The dashboard as JSON."""
    slo = label_variable("slo", "SLO", f"bullmq_slo_objective_ratio{where(QUEUE)}")
    return build(
        SLOS,
        "BullMQ / SLOs",
        "How much of the error budgets is left, and what burns them?",
        [
            Row("Now", [*_now(), _table()]),
            Row("Burning", _burning()),
            Row("Indicators", _indicators()),
        ],
        [*queues(), slo],
        since="now-7d",
    )


def _recorded(name: str) -> str:
    return gauge(name, _SLO, by=_BY_SLO, scope=RULE)


def _rate(name: str) -> str:
    return rate(f"bullmq_slo_{name}_total", _SLO, by=_BY_SLO)


_OBJECTIVE: Final = gauge("bullmq_slo_objective_ratio", _SLO, by=_BY_SLO)
_SPENT: Final = _recorded(burn_rate("30d"))


def _now() -> list[Panel]:
    return [
        stats(
            "SLOs",
            "How many SLOs of queues are measured?",
            per_job("count", _OBJECTIVE),
            no_value="none",
            width=6,
        ),
        stats(
            "Least budget left",
            "What share of its error budget of 30 days has the worst SLO left?",
            per_job("min", _recorded(BUDGET_LEFT)),
            unit="percentunit",
            steps=_LEFT,
            no_value="unknown",
            decimals=1,
            width=6,
        ),
        stats(
            "Without budget",
            "How many SLOs have used up their error budget of 30 days?",
            f"{per_job('count', f'{_SPENT} > 1')} or 0 * {per_job('count', _SPENT)}",
            steps=thresholds.ANY_IS_CRITICAL,
            no_value="unknown",
            width=6,
        ),
        stats(
            "Known time",
            "For what share of the time is it known whether the SLOs hold? The worst SLO.",
            per_job("min", _rate("seconds")),
            unit="percentunit",
            no_value="unknown",
            decimals=0,
            width=6,
        ),
    ]


def _table() -> Panel:
    return rows(
        "SLOs of queues",
        "Which SLO is in danger? Burn rates: 1 uses up the budget in 30 days.",
        [
            _SPENT,
            _OBJECTIVE,
            gauge("bullmq_slo_target_seconds", _SLO, by=_BY_SLO),
            _recorded(burn_rate("1h")),
            _recorded(burn_rate("6h")),
            _recorded(burn_rate("1d")),
        ],
        [
            Column("slo", "SLO"),
            Column("queue", "Queue"),
            Column("connection", "Connection"),
            Column("job", "Job"),
            Column("prefix", "Prefix"),
            Column("C", "Target", "s"),
            Column("B", "Objective", "percentunit", decimals=2),
            Column("A", "Budget burned", "percentunit", _BURNED, decimals=1),
            Column("D", "Burn 1h", steps=_above("ErrorBudgetBurnsFast"), decimals=1),
            Column("E", "Burn 6h", steps=_above("ErrorBudgetBurns"), decimals=1),
            Column("F", "Burn 1d", steps=_above("ErrorBudgetBurnsSlowly"), decimals=1),
        ],
        sort=["-Budget burned"],
        no_value=_NO_RULES,
    )


def _above(alert: str) -> tuple[tuple[float | None, str], ...]:
    return ((None, GREEN), (threshold(alert, "above_rate"), RED))


def _burning() -> list[Panel]:
    return [
        lines(
            "Error budget burned",
            "What share of the error budget of 30 days is used up? The 10 worst.",
            Query(top(10, _SPENT), _LEGEND),
            unit="percentunit",
            no_value=_NO_RULES,
            limit=1,
            width=6,
        ),
        *(
            lines(
                f"Burn rate, {window}",
                f"How fast does the budget burn? The 10 fastest, with the threshold of {alert}.",
                Query(top(10, _recorded(burn_rate(window))), _LEGEND),
                no_value=_NO_RULES,
                limit=threshold(alert, "above_rate"),
                width=6,
            )
            for alert, window in (
                ("ErrorBudgetBurnsFast", "1h"),
                ("ErrorBudgetBurns", "6h"),
                ("ErrorBudgetBurnsSlowly", "1d"),
            )
        ),
    ]


def _indicators() -> list[Panel]:
    late_jobs = f"{_rate('late_jobs')} / ({_rate('jobs')} > 0)"
    late_time = f"{_rate('late_seconds')} / ({_rate('seconds')} > 0)"
    return [
        lines(
            "Late jobs",
            "What share of the jobs missed the target? The 10 worst.",
            Query(top(10, late_jobs), _LEGEND),
            unit="percentunit",
            no_value="No job was judged",
            maximum=1,
            width=6,
        ),
        lines(
            "Late time",
            "For what share of the time was a job beyond the target while none was started, or "
            "ended? The 10 worst.",
            Query(top(10, late_time), _LEGEND),
            unit="percentunit",
            no_value=_NO_SLOS,
            maximum=1,
            width=6,
        ),
        lines(
            "Time known",
            "Is it known whether the SLO holds? Unknown time counts neither way.",
            Query(_rate("seconds"), _LEGEND),
            unit="percentunit",
            no_value=_NO_SLOS,
            width=6,
        ),
        lines(
            "Judged jobs",
            "On how many jobs does the indicator rest?",
            Query(_rate("jobs"), _LEGEND),
            unit=JOBS_PER_SECOND,
            no_value=_NO_SLOS,
            width=6,
        ),
    ]
