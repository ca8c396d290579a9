"""BullMQ / Overview: is anything wrong, and where?"""

from __future__ import annotations

from typing import Final

from exporter.rules import ALERTS, DEFAULT_RUNBOOK_URL, Severity
from exporter.rules.alerts import NOT_INTENDED, OVERVIEW
from exporter.rules.recordings import RUN_P95, WAIT_P95
from grafana import thresholds
from grafana.panels import (
    GREY,
    JOBS_PER_SECOND,
    Column,
    Panel,
    Query,
    Row,
    build,
    lines,
    rows,
    stats,
    timeline,
)
from grafana.promql import (
    BY_CONNECTION,
    BY_QUEUE,
    CONNECTION,
    READY,
    RULE,
    failure_ratio,
    finished,
    gauge,
    increase,
    jobs,
    per_job,
    quantile,
    rate,
    top,
)
from grafana.variables import queues

_QUEUE_URL: Final = (
    "/d/bullmq-queue?${__url_time_range}&${datasource:queryparam}&${instance:queryparam}"
    "&var-job=${__data.fields.Job}&var-connection=${__data.fields.Connection}"
    "&var-prefix=${__data.fields.Prefix}&var-queue=${__value.raw}"
)
_QUEUE_LINK: Final = ("Open the queue", _QUEUE_URL)
_QUEUE: Final = Column("queue", "Queue", link=_QUEUE_LINK, width=140)
_CONNECTION: Final = Column("connection", "Connection", width=95)
_JOB: Final = Column("job", "Job", width=95)
# for the link of the queue
_PREFIX: Final = Column("prefix", "Prefix", hidden=True)
_QUEUE_LEGEND: Final = "{{queue}} ({{connection}}, {{job}})"
_NARROW: Final = 86

# jobs of a paused queue are late on purpose
_LATE: Final = (
    f"{gauge('bullmq_queue_oldest_waiting_seconds')} * (1 - {gauge('bullmq_queue_paused')})"
)
_WORKERS: Final = gauge("bullmq_queue_workers")
_BLOCKED: Final = gauge("bullmq_queue_blocked", NOT_INTENDED)
# the id of the panel "Queues without progress"
_PROGRESS_URL: Final = (
    "/d/bullmq-overview?viewPanel=111&${__url_time_range}&${datasource:queryparam}"
    "&var-job=${__field.labels.job}&${instance:queryparam}&${connection:queryparam}"
    "&${prefix:queryparam}&${queue:queryparam}"
)
_WITHOUT_WORKERS: Final = f"{_WORKERS} == 0 and ({READY} + {jobs('active')}) > 0"
# the window and the minimum number of failures of the alert
_FAILURES: Final = increase("bullmq_queue_jobs_failed_total", window="10m")
_WORST_RATIO: Final = per_job(
    "max", f"{failure_ratio('10m')} * ({_FAILURES} > bool {thresholds.FEW_FAILURES:g})"
)

# severities as numbers, by which they are sorted; the last is any other
_SEVERITIES: Final = (
    *(f'severity="{severity}"' for severity in Severity),
    f'severity!~"{"|".join(Severity)}"',
)
# alerts without a job are about all jobs
_FIRING: Final = " or ".join(
    f'{rank} * ALERTS{{alertname=~"BullMQ.+", alertstate="firing", job=~"$job|", {severity}}}'
    for rank, severity in enumerate(_SEVERITIES, 1)
)


def _copied(expr: str, label: str, source: str, to_match: str = "(.+)") -> str:
    return f'label_replace({expr}, "{label}", "$1", "{source}", "{to_match}")'


def _pair(expr: str, one: str, other: str) -> str:
    """`where` becomes both connections, on alerts that have both."""
    joined = f'label_join({expr}, "pair", " → ", "{one}", "{other}")'
    return _copied(joined, "where", "pair", "(.+ → .+)")


def _alerts() -> str:
    """Firing alerts: the number of the severity, where it fires, and the name for the runbook."""
    found = _copied(f"({_FIRING})", "runbook", "alertname")
    for label in ("instance", "connection"):
        found = _copied(found, "where", label)
    found = _pair(found, "writer", "reader")
    found = _pair(found, "producer_connection", "worker_connection")
    return f"min by ({BY_QUEUE}, alertname, where, reason, runbook) ({found})"


def dashboard() -> str:
    """The dashboard as JSON."""
    return build(
        OVERVIEW,
        "BullMQ / Overview",
        "Is anything wrong, and where?",
        [
            Row("Now", [*_now(), _firing(), _without_progress()]),
            Row("Queues", [_queues()]),
            Row("Throughput", _throughput()),
            Row("Latency", _latency()),
            Row("Failures", _failures()),
            Row("State", _state(), collapsed=True),
        ],
        queues(),
        since="now-6h",
    )


def _now() -> list[Panel]:
    all_up = per_job("min", gauge("bullmq_up", by=BY_CONNECTION, scope=CONNECTION))
    last = gauge(
        "bullmq_exporter_collector_last_success_timestamp_seconds",
        'collector="queues"',
        by=BY_CONNECTION,
        scope=CONNECTION,
    )
    return [
        stats(
            "Redis",
            "Can I trust the rest of the page? UNREACHABLE if any connection is down.",
            all_up,
            mappings=thresholds.REACHABLE,
            no_value="No exporter",
        ),
        stats(
            "Data age",
            "How old is the data? The oldest of all connections.",
            f"time() - {per_job('min', last)}",
            unit="s",
            steps=thresholds.STALE,
            decimals=0,
            width=2,
        ),
        stats(
            "Blocked queues",
            "How many queues make no progress, and nobody asked for it? Paused queues and limits "
            "are left out, as in the alert BullMQQueueBlocked.",
            f"{per_job('count', _BLOCKED)} or 0 * {per_job('count', READY)}",
            steps=thresholds.ANY_IS_CRITICAL,
            no_value="unknown",
            link=("Show the queues and the reasons", _PROGRESS_URL),
        ),
        stats(
            "Oldest waiting job",
            "What is the longest delay now? Excludes paused queues.",
            per_job("max", _LATE),
            unit="s",
            steps=thresholds.LATE,
            decimals=1,
        ),
        stats(
            "Ready",
            "How many jobs could start now? Waiting and prioritized jobs.",
            per_job("sum", READY),
            width=2,
        ),
        stats("Active", "How many jobs are running?", per_job("sum", jobs("active")), width=2),
        stats(
            "Finished",
            "What is the throughput? Jobs completed or failed for good.",
            per_job("sum", finished()),
            unit=JOBS_PER_SECOND,
            no_value="events off",
        ),
        stats(
            "Worst failure ratio",
            "What share of the jobs that finished in ten minutes failed for good? The worst queue; "
            f"0 for queues with at most {thresholds.FEW_FAILURES:g} failures.",
            _WORST_RATIO,
            unit="percentunit",
            steps=thresholds.RATIO,
            no_value="no jobs",
            decimals=0,
        ),
        stats(
            "Without workers",
            "How many queues have jobs but no worker? Needs CLIENT LIST.",
            f"{per_job('count', _WITHOUT_WORKERS)} or 0 * {per_job('count', _WORKERS)}",
            steps=thresholds.ANY_IS_CRITICAL,
            no_value="unknown",
        ),
    ]


def _firing() -> Panel:
    anchors = {alert.full_name: (alert.anchor, GREY) for alert in ALERTS}
    runbook = f"{DEFAULT_RUNBOOK_URL}#${{__data.fields.Runbook.text}}"
    return rows(
        "Firing alerts",
        "Which alerts fire, and for what? Needs the rules of `bullmq-exporter rules`.",
        [_alerts()],
        [
            Column("A", "Severity", mappings=thresholds.SEVERITY, width=75),
            Column("alertname", "Alert", link=("Open the runbook", runbook), width=225),
            _QUEUE,
            Column("where", "Where", width=135),
            Column("reason", "Reason"),
            _JOB,
            Column("connection", "Connection", hidden=True),
            _PREFIX,
            Column("runbook", "Runbook", mappings=anchors, hidden=True),
        ],
        # by descending name, causes come before their symptoms
        sort=["Severity", "-Alert"],
        no_value="No alert is firing",
        width=13,
        height=8,
    )


def _without_progress() -> Panel:
    blocked = gauge("bullmq_queue_blocked", by=f"{BY_QUEUE}, reason")
    return rows(
        "Queues without progress",
        "Which queues have ready jobs but no progress, and why?",
        [f"{blocked} * on ({BY_QUEUE}) group_left () {READY}"],
        [
            _QUEUE,
            Column("reason", "Reason", mappings=thresholds.REASONS),
            Column("A", "Ready", width=60),
            _CONNECTION,
            _JOB,
            _PREFIX,
        ],
        sort=["-Ready"],
        no_value="No queue is reported as blocked",
        width=11,
        height=8,
    )


def _queues() -> Panel:
    queries = [
        gauge("bullmq_queue_oldest_waiting_seconds"),
        READY,
        jobs("delayed"),
        gauge("bullmq_queue_delayed_overdue_jobs"),
        jobs("active"),
        jobs("waiting-children"),
        jobs("failed"),
        finished(),
        rate("bullmq_queue_jobs_failed_total"),
        failure_ratio(),
        f"{gauge(WAIT_P95, scope=RULE)} >= 0",
        f"{gauge(RUN_P95, scope=RULE)} >= 0",
        _WORKERS,
        gauge("bullmq_queue_paused"),
    ]
    return rows(
        "Queues",
        "Which queue has a problem? Sorted by the oldest waiting job. Wait and run are 95th "
        "percentiles over five minutes, from the recording rules.",
        queries,
        [
            _QUEUE,
            _CONNECTION,
            _JOB,
            _PREFIX,
            Column("A", "Oldest", "s", thresholds.LATE, decimals=1, width=_NARROW),
            Column("B", "Ready", width=_NARROW),
            Column("C", "Delayed", width=_NARROW),
            Column("D", "Overdue", steps=thresholds.ANY_IS_WARNING, width=_NARROW),
            Column("E", "Active", width=_NARROW),
            Column("F", "Children", width=_NARROW),
            Column("G", "Failed", width=_NARROW),
            Column("H", "Finished/s", decimals=2, width=_NARROW),
            Column("I", "Failed/s", decimals=2, width=_NARROW),
            Column("J", "Fail %", "percentunit", thresholds.RATIO, decimals=0, width=_NARROW),
            Column("K", "Wait p95", "s", width=_NARROW),
            Column("L", "Run p95", "s", width=_NARROW),
            Column("M", "Workers", width=_NARROW),
            Column("N", "Paused", mappings=thresholds.PAUSED_SHORT, width=_NARROW),
        ],
        sort=["-Oldest"],
        no_value="No queues",
        height=10,
    )


def _throughput() -> list[Panel]:
    drain = f"clamp_max({READY} / ({finished()} > 0), 86400)"
    return [
        lines(
            "Jobs per second",
            "Are more jobs added than finished, that is completed or failed for good?",
            *(
                Query(
                    per_job("sum", rate(f"bullmq_queue_jobs_{step}_total")), f"{step} ({{{{job}}}})"
                )
                for step in ("added", "completed", "failed")
            ),
            unit=JOBS_PER_SECOND,
            no_value="Needs events.enabled",
        ),
        lines(
            "Ready backlog",
            "Which backlog grows? The 10 largest.",
            Query(top(10, READY), _QUEUE_LEGEND),
        ),
        lines(
            "Time to drain",
            "How long until the backlog is empty? Ready jobs / finished per second; at most a day.",
            Query(top(10, drain), _QUEUE_LEGEND),
            unit="s",
            no_value="No job has finished",
        ),
    ]


def _latency() -> list[Panel]:
    wait = "bullmq_queue_job_wait_seconds"
    run = quantile(0.95, "bullmq_queue_job_run_seconds", by=BY_QUEUE)
    return [
        lines(
            "Oldest waiting job",
            "Which queue is late? The 10 latest, with the alert threshold.",
            Query(top(10, gauge("bullmq_queue_oldest_waiting_seconds")), _QUEUE_LEGEND),
            unit="s",
            limit=thresholds.LATE_SECONDS,
        ),
        lines(
            "Time to start",
            "How long do jobs wait before they start? All selected queues.",
            *(Query(quantile(q, wait), f"p{q * 100:.0f} ({{{{job}}}})") for q in (0.5, 0.95, 0.99)),
            unit="s",
            no_value="No job has started",
        ),
        lines(
            "Run time, p95",
            "Which queue became slower? The 10 slowest.",
            Query(top(10, run), _QUEUE_LEGEND),
            unit="s",
            no_value="No job has finished",
        ),
    ]


def _failures() -> list[Panel]:
    return [
        lines(
            "Failed per second",
            "Which queues fail? Jobs that failed for good; the 10 queues with the most.",
            Query(top(10, rate("bullmq_queue_jobs_failed_total")), _QUEUE_LEGEND),
            unit=JOBS_PER_SECOND,
            no_value="Needs events.enabled",
        ),
        lines(
            "Failure ratio",
            "What share of the jobs fails, independent of volume? The 10 worst.",
            Query(top(10, failure_ratio()), _QUEUE_LEGEND),
            unit="percentunit",
            no_value="No job has finished",
            limit=thresholds.HIGH_RATIO,
            maximum=1,
        ),
        lines(
            "Retries and stalls per second",
            "Do jobs run more than once?",
            Query(per_job("sum", rate("bullmq_queue_jobs_retried_total")), "retried ({{job}})"),
            Query(per_job("sum", rate("bullmq_queue_jobs_stalled_total")), "stalled ({{job}})"),
            unit=JOBS_PER_SECOND,
            no_value="Needs events.enabled",
        ),
    ]


def _state() -> list[Panel]:
    return [
        timeline(
            "Paused",
            "Which queue was paused, and when?",
            Query(gauge("bullmq_queue_paused"), _QUEUE_LEGEND),
            mappings=thresholds.PAUSED,
        ),
        lines(
            "Workers",
            "Did workers disconnect?",
            Query(_WORKERS, _QUEUE_LEGEND),
            no_value="Needs CLIENT LIST",
            width=12,
            stepped=True,
        ),
    ]
