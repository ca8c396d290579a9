"""BullMQ / Queue: what is happening in this queue?"""

from __future__ import annotations

from typing import Any, Final

from exporter.rules.alerts import QUEUE as UID
from grafana import thresholds
from grafana.panels import (
    STATE_COLORS,
    Column,
    Panel,
    Query,
    Row,
    build,
    gauges,
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
    buckets,
    finished,
    gauge,
    increase,
    jobs,
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
_QUANTILES: Final = (0.5, 0.95, 0.99)


def dashboard() -> str:
    """The dashboard as JSON."""
    names: Any = label_variable("job_name", "Job name", f"bullmq_jobs_added_total{where(QUEUE)}")
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
            Row("By job name", _by_name(), collapsed=True),
            Row("Delayed and scheduled", _timed(), collapsed=True),
            Row("Storage", _storage(), collapsed=True),
        ],
        # a name that is empty is all that there is where job names are off
        [*queues(one=True), names.all_value(".*")],
        since="now-3h",
    )


def _now() -> list[Panel]:
    limited = gauge("bullmq_queue_rate_limit_remaining_seconds")
    return [
        stats(
            "Oldest waiting",
            "How late is it?",
            f"max({gauge('bullmq_queue_oldest_waiting_seconds')})",
            unit="s",
            steps=thresholds.LATE,
            decimals=1,
        ),
        stats("Ready", "How much could start now?", f"sum({READY})"),
        stats("Active", "How much is running?", f"sum({jobs('active')})"),
        stats("Delayed", "How much is for later?", f"sum({jobs('delayed')})"),
        stats("Failed kept", "How many failed jobs are kept?", f"sum({jobs('failed')})"),
        stats(
            "Blocked by",
            "Does ready work not move, and why?",
            gauge("bullmq_queue_blocked", by="reason"),
            legend="{{reason}}",
            steps=((None, "red"),),
            by_name=True,
            no_value="nothing",
        ),
        stats(
            "Workers",
            "Does anybody work on it?",
            f"sum({gauge('bullmq_queue_workers')})",
            steps=((None, "red"), (1, "green")),
            no_value="not known",
            width=2,
        ),
        stats(
            "Paused",
            "Was it paused?",
            f"max({gauge('bullmq_queue_paused')})",
            mappings=thresholds.PAUSED,
            width=2,
        ),
        stats(
            "Rate limit",
            "How long until its rate limit's window ends?",
            f"max({limited})",
            unit="s",
            no_value="none",
            width=2,
        ),
    ]


def _flow() -> list[Panel]:
    steps = ("added", "started", "completed", "failed", "retried")
    added = rate("bullmq_jobs_added_total", _NAMES)
    state = gauge("bullmq_queue_jobs", 'state!~"completed|failed"', by="state")
    return [
        lines(
            "Jobs per second",
            "Which step is the bottleneck?",
            *(Query(f"sum({rate(f'bullmq_jobs_{step}_total', _NAMES)})", step) for step in steps),
            unit="cps",
            no_value=_NO_EVENTS,
            colors={"completed": "green", "failed": "red", "retried": "orange"},
        ),
        lines(
            "Jobs by state",
            "Where do jobs sit?",
            Query(state, "{{state}}"),
            colors={name: STATE_COLORS[name] for name in STATE_COLORS if name != "completed"},
        ),
        lines(
            "Net change per second",
            "Does it fill or drain? Added less finished.",
            Query(f"sum({added}) - sum({finished(_NAMES)})", "net"),
            unit="cps",
            no_value=_NO_EVENTS,
            centred=True,
        ),
    ]


def _latency() -> list[Panel]:
    wait, run = "bullmq_job_wait_seconds", "bullmq_job_run_seconds"
    return [
        heat("Time to start", "Is waiting uniform, or has it a tail?", buckets(wait, _NAMES)),
        _quantiles(
            "Time to start, quantiles",
            "How long do jobs wait before they start?",
            wait,
            "No job was started",
        ),
        lines(
            "Oldest waiting job",
            "How late is it, and where does the alert begin?",
            Query(gauge("bullmq_queue_oldest_waiting_seconds"), "{{connection}}"),
            unit="s",
            limit=thresholds.LATE_SECONDS,
        ),
        heat("Run time", "Did processing change its shape?", buckets(run, _NAMES)),
        _quantiles("Run time, quantiles", "How long do jobs run?", run, "No job has finished"),
        lines(
            "Longest active job",
            "Is a job stuck?",
            Query(gauge("bullmq_queue_oldest_active_seconds"), "{{connection}}"),
            unit="s",
            limit=thresholds.LONG_SECONDS,
        ),
    ]


def _quantiles(title: str, question: str, histogram: str, no_value: str) -> Panel:
    queries = (Query(quantile(q, histogram, _NAMES), f"p{q * 100:.0f}") for q in _QUANTILES)
    return lines(title, question, *queries, unit="s", no_value=no_value)


def _failures() -> list[Panel]:
    started = rate("bullmq_jobs_started_total", _NAMES)
    ended = rate("bullmq_job_run_seconds_count", _NAMES, by=f"{BY_QUEUE}, outcome")
    return [
        lines(
            "Attempts by outcome",
            "How do attempts end? Per second.",
            Query(f"sum by (outcome) ({ended})", "{{outcome}}"),
            unit="cps",
            no_value="No job has finished",
            colors={"completed": "green", "failed": "red", "retried": "orange"},
        ),
        lines(
            "Attempts per finished job",
            "How many tries does a job take?",
            Query(f"sum({started}) / (sum({finished(_NAMES)}) > 0)", "attempts"),
            no_value="No job has finished",
        ),
        lines(
            "Stalled",
            "Do workers lose their locks?",
            Query(f"sum({increase('bullmq_jobs_stalled_total', _NAMES)})", "stalled"),
            no_value=_NO_EVENTS,
            bars=True,
            colors={"stalled": "red"},
        ),
    ]


def _capacity() -> list[Panel]:
    limited = gauge("bullmq_queue_rate_limit_remaining_seconds")
    return [
        lines(
            "Active and limit",
            "Is it saturated? The limit is the queue's global concurrency, where it has one.",
            Query(f"sum({jobs('active')})", "active"),
            Query(f"max({gauge('bullmq_queue_concurrency_limit')})", "limit"),
            Query(f"sum({gauge('bullmq_queue_workers')})", "workers"),
            colors={"limit": "red"},
            stepped=True,
        ),
        timeline(
            "Paused, rate limited",
            "Is throughput capped by us?",
            Query(
                f'label_replace({gauge("bullmq_queue_paused")}, "what", "paused", "", "") or '
                f'label_replace({limited} > bool 0, "what", "rate limited", "", "")',
                "{{what}}",
            ),
            mappings={"1": ("yes", "yellow"), "0": ("no", "green")},
            width=8,
        ),
        lines(
            "Waiting for children",
            "Are flows held up by their children?",
            Query(f"sum({jobs('waiting-children')})", "waiting-children"),
            colors=STATE_COLORS,
        ),
    ]


def _by_name() -> list[Panel]:
    failed = rate("bullmq_jobs_failed_total", _NAMES, by=_BY_NAME)
    run = quantile(0.95, "bullmq_job_run_seconds", _NAMES, label="job_name", by="job_name")
    name = "{{job_name}}"
    return [
        lines(
            "Finished per second",
            "Which kind of job? The ten with most.",
            Query(top(10, f"sum by (job_name) {finished(_NAMES, by=_BY_NAME)}"), name),
            unit="cps",
            no_value=_NO_NAMES,
        ),
        lines(
            "Failed per second",
            "Which kind of job fails? The ten with most.",
            Query(top(10, f"sum by (job_name) ({failed})"), name),
            unit="cps",
            no_value=_NO_NAMES,
        ),
        lines(
            "Run time, p95",
            "Which kind of job is slow? The ten slowest.",
            Query(top(10, run), name),
            unit="s",
            no_value=_NO_NAMES,
        ),
        rows(
            "Job names",
            "What does each kind of job do? Numbers are of the chosen time.",
            [
                f"sum by (job_name) ({_total('completed')} + {_total('failed')})",
                f"sum by (job_name) ({_total('failed')})",
                f"sum by (job_name) ({_total('retried')})",
                f"sum by (job_name) ({_total('stalled')})",
                run,
            ],
            [
                Column("job_name", "Job name"),
                Column("A", "Finished", decimals=0),
                Column("B", "Failed", decimals=0),
                Column("C", "Retried", decimals=0),
                Column("D", "Stalled", decimals=0),
                Column("E", "Run p95", "s"),
            ],
            sort="Finished",
            no_value=_NO_NAMES,
            height=8,
        ),
    ]


def _total(what: str) -> str:
    return increase(f"bullmq_jobs_{what}_total", _NAMES, by=_BY_NAME, window="$__range")


def _timed() -> list[Panel]:
    return [
        lines(
            "Delayed jobs overdue",
            "Are due jobs promoted? How late the latest is.",
            Query(gauge("bullmq_queue_delayed_overdue_seconds"), "{{connection}}"),
            unit="s",
            limit=thresholds.OVERDUE_SECONDS,
        ),
        gauges(
            "Schedulers",
            "Did a repeating job miss its turn?",
            Query(f"sum({gauge('bullmq_queue_schedulers')})", "schedulers"),
            Query(f"sum({gauge('bullmq_queue_schedulers_overdue')})", "overdue"),
        ),
        lines(
            "Schedulers overdue",
            "How late is the latest scheduler?",
            Query(gauge("bullmq_queue_schedulers_overdue_seconds"), "{{connection}}"),
            unit="s",
            limit=thresholds.SCHEDULER_OVERDUE_SECONDS,
        ),
    ]


def _storage() -> list[Panel]:
    return [
        lines(
            "Finished jobs kept",
            "Does retention work (removeOnComplete, removeOnFail)?",
            Query(f"sum({jobs('completed')})", "completed"),
            Query(f"sum({jobs('failed')})", "failed"),
            colors=STATE_COLORS,
        ),
        lines(
            "Events kept",
            "How long is its event stream? BullMQ trims it at about 10,000.",
            Query(gauge("bullmq_queue_events_stream_length"), "{{connection}}"),
        ),
        rows(
            "Library",
            "Which BullMQ wrote it?",
            [gauge("bullmq_queue_info", by=f"{BY_QUEUE}, library_version")],
            [
                Column("queue", "Queue"),
                Column("connection", "Connection"),
                Column("library_version", "BullMQ"),
            ],
            width=8,
            height=8,
        ),
    ]
