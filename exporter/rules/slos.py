"""SLOs: how fast each queue burns its error budget, and alerts on that.

An SLO has two indicators, jobs and time (`exporter/collectors/events/slos.py` says why), and the
worse one counts. Target and objective are read from the metrics, so that the same rules serve every
configuration. The windows and rates of the alerts are those of the SRE workbook, for 30 days.
"""

from __future__ import annotations

from typing import Final

from exporter.rules.model import QUEUE_NAME, Alert, Recording, Setting, Severity, Subject, seconds

SLOS: Final = "bullmq-slos"
"""The uid of the dashboard."""
_BUDGET_WINDOW: Final = "30d"
_WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", _BUDGET_WINDOW)
_BASE: Final = {
    name: f"queue:bullmq_slo_{name}:rate5m"
    for name in ("jobs", "late_jobs", "seconds", "late_seconds")
}
BUDGET_LEFT: Final = f"queue:bullmq_slo_budget_left:ratio_{_BUDGET_WINDOW}"


def burn_rate(window: str) -> str:
    """The series of how fast the error budget burns in this window; 1 uses it up in 30 days."""
    return f"queue:bullmq_slo_burn_rate:{window}"


def _rate(name: str) -> Recording:
    """A rate without the instance: in 30 days there may be many, of which a maximum takes one."""
    summed = f"sum by (%slo, instance) (rate(bullmq_slo_{name}_total[5m]))"
    return Recording(_BASE[name], f"max by (%slo) ({summed})")


def _ratio(late: str, every: str, window: str) -> str:
    """The share that was late; absent without any, since 0 of 0 is not in time."""
    if window == "5m":
        return f"{_BASE[late]} / ({_BASE[every]} > 0)"
    sums = [f"sum_over_time({_BASE[name]}[{window}])" for name in (late, every)]
    return f"{sums[0]} / ({sums[1]} > 0)"


def _burn_rate(window: str) -> Recording:
    """The worse of both indicators, relative to what the objective permits."""
    jobs, time = (
        f'label_replace({_ratio(late, every, window)}, "indicator", "{every}", "", "")'
        for late, every in (("late_jobs", "jobs"), ("late_seconds", "seconds"))
    )
    # for as long as the rates go on after the last scrape
    objective = "max by (%slo) (last_over_time(bullmq_slo_objective_ratio[5m]))"
    worse = f"max by (%slo) ({jobs} or {time})"
    return Recording(burn_rate(window), f"{worse} / on (%slo) (1 - {objective})")


SLO_RECORDINGS: Final = (
    *(_rate(name) for name in _BASE),
    *(_burn_rate(window) for window in _WINDOWS),
    Recording(BUDGET_LEFT, f"1 - {burn_rate(_BUDGET_WINDOW)}"),
)
"""In this order: each is made of those before it."""


def _alert(
    name: str, severity: Severity, rate: float, windows: tuple[str, str], how: str, wait: float
) -> Alert:
    """An alert while both windows burn: the long one shows that it matters, the short one that it
    goes on."""
    long, short = map(burn_rate, windows)
    return Alert(
        name,
        severity,
        Subject.SLO,
        f"{long} > %above_rate and {short} > %above_rate",
        f"SLO burns its error budget {how}: {{{{ $labels.slo }}}} of {QUEUE_NAME}",
        f"In the last {windows[0]}, {QUEUE_NAME} has burned the error budget of the SLO "
        "{{ $labels.slo }} {{ $value | humanize }} times as fast as its objective permits: its "
        "jobs are late, or none of them gets on.",
        SLOS,
        seconds(wait),
        {"above_rate": Setting(rate)},
    )


SLO_ALERTS: Final = (
    _alert("ErrorBudgetBurnsFast", Severity.CRITICAL, 14.4, ("1h", "5m"), "fast", 120),
    _alert("ErrorBudgetBurns", Severity.CRITICAL, 6, ("6h", "30m"), "too fast", 120),
    _alert("ErrorBudgetBurnsSlowly", Severity.WARNING, 3, ("1d", "2h"), "slowly", 600),
)
