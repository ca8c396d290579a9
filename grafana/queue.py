"""BullMQ / Queue: what is happening in this queue?"""

from __future__ import annotations

from typing import Any, Final

from exporter.collectors.queues import STATES
from exporter.rules.alerts import QUEUE as UID
from grafana import thresholds
from grafana.panels import (
    ATTEMPTS_PER_SECOND,
    JOBS_PER_SECOND,
    RED,
    Column,
    Panel,
    Query,
    Row,
    build,
    heat,
    label_variable,
    lines,
    rows,
    stats,
    timeline,
)
from grafana.promql import (
    BY_QUEUE,
    QUEUE,
    READY,
    distribution,
    failure_ratio,
    finished,
    gauge,
    increase,
    jobs,
    observations,
    per_job,
    quantile,
    rate,
    top,
    where,
)
from grafana.variables import queues

_NAMES: Final = 'job_name=~"$job_name"'
_BY_NAME: Final = f"{BY_QUEUE}, job_name"
_NO_NAMES: Final = "Needs events.job_names"
_NO_EVENTS: Final = "Needs events.enabled"
_REASONS: Final = {
    str(number): (reason.replace("_", " "), color)
    for number, (reason, color) in enumerate(
        [*((reason, color) for reason, (_, color) in thresholds.REASONS.items()), ("other", RED)], 1
    )
}
_QUANTILES: Final = (0.5, 0.95, 0.99)


def dashboard() -> str:
    """The dashboard as JSON."""
    names: Any = label_variable(
        "job_name", "Job name", f"bullmq_queue_jobs_added_total{where(QUEUE)}"
    )
    return build(
        UID,
        "BullMQ / Queue",
        "What is happening in this queue?",
        [
            Row("Now", _now()),
            Row("Flow", _flow()),
            Row("Latency", _latency()),
            Row("Failures", _failures()),
            Row("Capacity", _capacity()),
            Row("Stuck jobs", _stuck(), collapsed=True),
            Row("By job name", _by_name(), collapsed=True),
            Row("Added, delayed and scheduled", _timed(), collapsed=True),
            Row("Storage", _storage(), collapsed=True),
        ],
        # without events.job_names, the only job name is the empty string
        [*queues(one=True), names.all_value(".*")],
        since="now-3h",
    )


def _blocked_by() -> str:
    """The reason as a number; a reason that has none yet has the last."""
    reasons = [f'reason="{reason}"' for reason in thresholds.REASONS]
    others = f'reason!~"{"|".join(thresholds.REASONS)}"'
    return " or ".join(
        f"{number} * {gauge('bullmq_queue_blocked', reason, by='job')}"
        for number, reason in enumerate([*reasons, others], 1)
    )


def _now() -> list[Panel]:
    limited = gauge("bullmq_queue_rate_limit_remaining_seconds")
    return [
        stats(
            "Oldest waiting",
            "How late is the oldest job?",
            per_job("max", gauge("bullmq_queue_oldest_waiting_seconds")),
            unit="s",
            steps=thresholds.LATE,
            decimals=1,
        ),
        stats("Ready", "How many jobs could start now?", per_job("sum", READY)),
        stats("Active", "How many jobs are running?", per_job("sum", jobs("active"))),
        stats("Delayed", "How many jobs are scheduled for later?", per_job("sum", jobs("delayed"))),
        stats("Failed (kept)", "How many failed jobs are kept?", per_job("sum", jobs("failed"))),
        stats(
            "Blocked by",
            "Why is there no progress although jobs are ready?",
            _blocked_by(),
            mappings=_REASONS,
            no_value="nothing",
        ),
        stats(
            "Workers",
            "How many workers are connected?",
            per_job("sum", gauge("bullmq_queue_workers")),
            steps=((None, "red"), (1, "green")),
            no_value="unknown",
            width=2,
        ),
        stats(
            "Paused",
            "Is the queue paused?",
            per_job("max", gauge("bullmq_queue_paused")),
            mappings=thresholds.PAUSED,
            width=2,
        ),
        stats(
            "Rate limit",
            "How long until the rate limit window ends?",
            per_job("max", limited),
            unit="s",
            no_value="none",
            width=2,
        ),
    ]


def _flow() -> list[Panel]:
    steps = ("added", "started", "completed", "failed", "retried")
    added = rate("bullmq_queue_jobs_added_total", _NAMES)
    sizes = gauge("bullmq_queue_size", 'state!~"completed|failed"', by=f"{BY_QUEUE}, state")
    return [
        lines(
            "Jobs per second",
            "Which step is the bottleneck?",
            *(
                Query(per_job("sum", rate(f"bullmq_queue_jobs_{step}_total", _NAMES)), step)
                for step in steps
            ),
            unit=JOBS_PER_SECOND,
            no_value=_NO_EVENTS,
        ),
        lines(
            "Jobs by state",
            "In which state are the jobs?",
            Query(f"sum by (job, state) ({sizes})", "{{state}}"),
            meanings=STATES,
        ),
        lines(
            "Net change per second",
            "Is the backlog growing? Added minus finished.",
            Query(f"{per_job('sum', added)} - {per_job('sum', finished(_NAMES))}", "net"),
            unit=JOBS_PER_SECOND,
            no_value=_NO_EVENTS,
            centred=True,
        ),
    ]


def _latency() -> list[Panel]:
    wait, run = "bullmq_queue_job_wait_seconds", "bullmq_queue_job_run_seconds"
    return [
        heat("Time to start", "How are wait times distributed?", distribution(wait, _NAMES)),
        _quantiles(
            "Time to start, quantiles",
            "How long do jobs wait before they start?",
            wait,
            "No job has started",
        ),
        lines(
            "Oldest waiting job",
            "How late is the oldest job, and where is the alert threshold?",
            Query(gauge("bullmq_queue_oldest_waiting_seconds"), "{{connection}}"),
            Query(per_job("max", gauge("bullmq_queue_target_wait_seconds")), "target"),
            unit="s",
            limit=thresholds.LATE_SECONDS,
        ),
        heat("Run time", "How are run times distributed?", distribution(run, _NAMES)),
        _quantiles("Run time, quantiles", "How long do jobs run?", run, "No job has finished"),
        lines(
            "Longest active job",
            "Is a job stuck?",
            Query(gauge("bullmq_queue_oldest_active_seconds"), "{{connection}}"),
            Query(per_job("max", gauge("bullmq_queue_target_run_seconds")), "target"),
            unit="s",
            limit=thresholds.LONG_SECONDS,
        ),
    ]


def _quantiles(title: str, question: str, histogram: str, no_value: str) -> Panel:
    queries = (Query(quantile(q, histogram, _NAMES), f"p{q * 100:.0f}") for q in _QUANTILES)
    return lines(title, question, *queries, unit="s", no_value=no_value)


def _failures() -> list[Panel]:
    started = rate("bullmq_queue_jobs_started_total", _NAMES)
    done = per_job("sum", finished(_NAMES))
    ended = observations("bullmq_queue_job_run_seconds", _NAMES, by=f"{BY_QUEUE}, outcome")
    return [
        lines(
            "Attempts by outcome",
            "How do attempts end?",
            Query(f"sum by (job, outcome) ({ended})", "{{outcome}}"),
            unit=ATTEMPTS_PER_SECOND,
            no_value="No job has finished",
            meanings=("completed", "failed", "retried"),
            width=6,
        ),
        lines(
            "Failure ratio",
            "Which share of the finished jobs fails for good?",
            Query(failure_ratio(), "{{connection}}"),
            Query(per_job("max", gauge("bullmq_queue_target_failure_ratio")), "target"),
            unit="percentunit",
            no_value="No job has finished",
            limit=thresholds.HIGH_RATIO,
            maximum=1,
            width=6,
        ),
        lines(
            "Attempts per finished job",
            "How many attempts does a job need?",
            Query(f"{per_job('sum', started)} / ({done} > 0)", "attempts"),
            no_value="No job has finished",
            width=6,
        ),
        lines(
            "Stalled",
            "Do workers lose their locks?",
            Query(per_job("sum", increase("bullmq_queue_jobs_stalled_total", _NAMES)), "stalled"),
            no_value=_NO_EVENTS,
            bars=True,
            width=6,
        ),
    ]


def _capacity() -> list[Panel]:
    limited = gauge("bullmq_queue_rate_limit_remaining_seconds")
    return [
        lines(
            "Active and limit",
            "Is the queue at its limit? The limit is its global concurrency, if one is set.",
            Query(per_job("sum", jobs("active")), "active"),
            Query(per_job("max", gauge("bullmq_queue_concurrency_limit")), "limit"),
            Query(per_job("sum", gauge("bullmq_queue_workers")), "workers"),
            Query(per_job("max", gauge("bullmq_queue_workers_needed")), "workers needed"),
            stepped=True,
        ),
        timeline(
            "Paused, rate limited",
            "Is throughput limited on purpose?",
            Query(
                f'label_replace({gauge("bullmq_queue_paused")}, "what", "paused", "", "") or '
                f'label_replace({limited} > bool 0, "what", "rate limited", "", "")',
                "{{what}}",
            ),
            mappings={"1": ("yes", "yellow"), "0": ("no", "green")},
            width=8,
        ),
        lines(
            "Drain time",
            "When is the backlog gone at this rate? A gap is unknown, or never.",
            Query(f"{gauge('bullmq_queue_drain_seconds')} < Inf", "{{connection}}"),
            unit="s",
            no_value="Unknown, or never",
        ),
    ]


def _by_name() -> list[Panel]:
    failed = rate("bullmq_queue_jobs_failed_total", _NAMES, by=_BY_NAME)
    run = quantile(0.95, "bullmq_queue_job_run_seconds", _NAMES, by="job, job_name")
    name = "{{job_name}}"
    return [
        lines(
            "Finished per second",
            "Which jobs finish? The 10 most frequent.",
            Query(top(10, _each_name(finished(_NAMES, by=_BY_NAME))), name),
            unit=JOBS_PER_SECOND,
            no_value=_NO_NAMES,
        ),
        lines(
            "Failed per second",
            "Which jobs fail? The 10 most frequent.",
            Query(top(10, _each_name(failed)), name),
            unit=JOBS_PER_SECOND,
            no_value=_NO_NAMES,
        ),
        lines(
            "Run time, p95",
            "Which jobs are slow? The 10 slowest.",
            Query(top(10, run), name),
            unit="s",
            no_value=_NO_NAMES,
        ),
        rows(
            "Job names",
            "How does each kind of job perform? Totals over the selected time range.",
            [
                _each_name(f"{_total('completed')} + {_total('failed')}"),
                *(_each_name(_total(what)) for what in ("failed", "retried", "stalled")),
                run,
            ],
            [
                Column("job_name", "Job name"),
                # whole numbers; short would show 1,017 as 1 K
                Column("A", "Finished", "none", decimals=0),
                Column("B", "Failed", "none", decimals=0),
                Column("C", "Retried", "none", decimals=0),
                Column("D", "Stalled", "none", decimals=0),
                Column("E", "Run p95", "s"),
            ],
            sort=["-Finished"],
            no_value=_NO_NAMES,
            height=8,
        ),
    ]


def _each_name(expr: str) -> str:
    return f"sum by (job, job_name) ({expr})"


def _total(what: str) -> str:
    return increase(f"bullmq_queue_jobs_{what}_total", _NAMES, by=_BY_NAME, window="$__range")


def _timed() -> list[Panel]:
    band = gauge("bullmq_queue_priority_jobs", by=f"{BY_QUEUE}, band")
    duplicated = increase("bullmq_queue_jobs_duplicated_total", _NAMES)
    deduplicated = increase("bullmq_queue_jobs_deduplicated_total", _NAMES)
    last = gauge("bullmq_queue_last_added_timestamp_seconds")
    return [
        lines(
            "Time since the last added job",
            "Is the producer silent?",
            Query(f"time() - {last}", "{{connection}}"),
            Query(per_job("max", gauge("bullmq_queue_target_silent_seconds")), "target"),
            unit="s",
            no_value="No added job seen",
            width=6,
        ),
        lines(
            "Delayed jobs overdue",
            "Are due jobs promoted? How overdue the most overdue one is.",
            Query(gauge("bullmq_queue_delayed_overdue_seconds"), "{{connection}}"),
            unit="s",
            limit=thresholds.OVERDUE_SECONDS,
            width=6,
        ),
        lines(
            "Schedulers",
            "Did a repeating job miss an iteration?",
            Query(per_job("sum", gauge("bullmq_queue_schedulers")), "schedulers"),
            Query(per_job("sum", gauge("bullmq_queue_schedulers_overdue")), "overdue"),
            stepped=True,
            width=6,
        ),
        lines(
            "Schedulers overdue",
            "How overdue is the most overdue scheduler?",
            Query(gauge("bullmq_queue_schedulers_overdue_seconds"), "{{connection}}"),
            unit="s",
            limit=thresholds.SCHEDULER_OVERDUE_SECONDS,
            width=6,
        ),
        lines(
            "Prioritized jobs",
            "Do jobs of some priorities starve? By band of priorities; 1 is the most urgent.",
            Query(f"sum by (job, band) ({band})", "{{band}}"),
            no_value="No job has a priority",
        ),
        lines(
            "Ignored adds",
            "Are jobs added that exist already? By job ID, and by deduplication ID.",
            Query(per_job("sum", duplicated), "duplicated"),
            Query(per_job("sum", deduplicated), "deduplicated"),
            no_value=_NO_EVENTS,
            bars=True,
        ),
        lines(
            "Waiting for children",
            "Do flows wait for their children?",
            Query(per_job("sum", jobs("waiting-children")), "waiting-children"),
        ),
    ]


def _stuck() -> list[Panel]:
    failures = increase("bullmq_queue_job_failures_total", by=f"{BY_QUEUE}, class")
    return [
        lines(
            "Stuck jobs",
            "Which jobs will not go on by themselves?",
            Query(gauge("bullmq_queue_stuck_jobs", by=f"{BY_QUEUE}, kind"), "{{kind}}"),
            no_value="None",
            width=8,
        ),
        lines(
            "Failures by class",
            "Why do jobs fail for good? The 10 most frequent classes of reasons.",
            Query(top(10, f"sum by (job, class) ({failures})"), "{{class}}"),
            no_value="Needs events.failure_classes",
            bars=True,
            width=8,
        ),
        lines(
            "Jobs vanished",
            "Which jobs are gone that neither finished nor were removed?",
            Query(gauge("bullmq_queue_jobs_unaccounted"), "vanished"),
            Query(
                increase("bullmq_queue_audit_rebases_total", by=f"{BY_QUEUE}, reason"),
                "rebase: {{reason}}",
            ),
            no_value="Unknown",
            width=8,
        ),
    ]


def _storage() -> list[Panel]:
    oldest = gauge("bullmq_queue_oldest_failed_timestamp_seconds")
    newest = gauge("bullmq_queue_newest_failed_timestamp_seconds")
    return [
        lines(
            "Finished jobs kept",
            "Does retention work (removeOnComplete, removeOnFail)?",
            Query(per_job("sum", jobs("completed")), "completed"),
            Query(per_job("sum", jobs("failed")), "failed"),
            width=8,
        ),
        lines(
            "Age of failed jobs kept",
            "Since when do failed jobs lie there, and when did the last one fail?",
            Query(f"time() - {oldest}", "oldest {{connection}}"),
            Query(f"time() - {newest}", "newest {{connection}}"),
            unit="s",
            no_value="No failed job is kept",
            width=8,
        ),
        lines(
            "Events kept",
            "How long is the event stream? BullMQ trims it at about 10,000.",
            Query(gauge("bullmq_queue_events_stream_length"), "{{connection}}"),
            width=8,
        ),
        lines(
            "Memory of events",
            "How much memory does the event stream take? Large return values and errors are in it.",
            Query(gauge("bullmq_queue_events_stream_bytes"), "{{connection}}"),
            unit="bytes",
            width=12,
        ),
        rows(
            "BullMQ version",
            "Which version created the queue?",
            [gauge("bullmq_queue_info", by=f"{BY_QUEUE}, library_version")],
            [
                Column("connection", "Connection", width=110),
                Column("library_version", "BullMQ"),
            ],
            width=12,
            height=8,
        ),
    ]
