"""BullMQ / Overview: is anything wrong, and where?"""

from __future__ import annotations

from typing import Final

from exporter.rules.alerts import OVERVIEW
from exporter.rules.recordings import RUN_P95, WAIT_P95
from grafana import thresholds
from grafana.panels import Column, Panel, Query, Row, build, lines, rows, stats, timeline
from grafana.promql import (
    BY_QUEUE,
    CONNECTION,
    READY,
    RULE,
    failure_ratio,
    finished,
    gauge,
    increase,
    jobs,
    quantile,
    rate,
    top,
)
from grafana.variables import queues

_QUEUE_URL: Final = (
    "/d/bullmq-queue?${__url_time_range}&${job:queryparam}&${instance:queryparam}"
    "&var-connection=${__data.fields.Connection}&var-queue=${__value.raw}"
)
_QUEUE_LINK: Final = ("Open the queue", _QUEUE_URL)
_QUEUE: Final = Column("queue", "Queue", link=_QUEUE_LINK, width=130)
_CONNECTION: Final = Column("connection", "Connection", width=110)
_QUEUE_LEGEND: Final = "{{queue}} ({{connection}})"
_NARROW: Final = 92

# jobs of a paused queue are late on purpose
_LATE: Final = (
    f"{gauge('bullmq_queue_oldest_waiting_seconds')} * (1 - {gauge('bullmq_queue_paused')})"
)
_WORKERS: Final = gauge("bullmq_queue_workers")
_WITHOUT_WORKERS: Final = f"{_WORKERS} == 0 and ({READY} + {jobs('active')}) > 0"
# the window and the minimum number of failures of the alert
_FAILURES: Final = increase("bullmq_queue_jobs_failed_total", window="10m")
_WORST_RATIO: Final = (
    f"max({failure_ratio('10m')} * ({_FAILURES} > bool {thresholds.FEW_FAILURES:g}))"
)

_FIRING: Final = 'alertname=~"BullMQ.+", alertstate="firing"'
_PAIR: Final = 'label_join(ALERTS{%s, %s!=""}, "connection", " → ", "%s", "%s")'
_ALERTS: Final = (
    "max by (severity, alertname, connection, queue, reason) "
    f'(ALERTS{{{_FIRING}, writer="", producer_connection=""}} or '
    f"{_PAIR % (_FIRING, 'writer', 'writer', 'reader')} or "
    f"{_PAIR % (_FIRING, 'producer_connection', 'producer_connection', 'worker_connection')})"
)


def dashboard() -> str:
    """The dashboard as JSON."""
    return build(
        OVERVIEW,
        "BullMQ / Overview",
        "Is anything wrong, and where?",
        [
            Row("Now", [*_now(), _firing(), _blocked()]),
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
    all_up = f"min({gauge('bullmq_up', by='connection', scope=CONNECTION)})"
    last = gauge(
        "bullmq_exporter_collector_last_success_timestamp_seconds",
        'collector="queues"',
        by="connection",
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
            f"time() - min({last})",
            unit="s",
            steps=thresholds.STALE,
            decimals=0,
        ),
        stats(
            "Oldest waiting job",
            "What is the longest delay now? Excludes paused queues.",
            f"max({_LATE})",
            unit="s",
            steps=thresholds.LATE,
            decimals=1,
        ),
        stats(
            "Ready jobs",
            "How many jobs could start now? Waiting and prioritized jobs.",
            f"sum({READY})",
        ),
        stats("Active jobs", "How many jobs are running?", f"sum({jobs('active')})"),
        stats(
            "Finished per second",
            "What is the throughput? Jobs completed or failed for good.",
            f"sum({finished()})",
            unit="cps",
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
            "Queues without workers",
            "How many queues have jobs but no worker? Needs CLIENT LIST.",
            f"count({_WITHOUT_WORKERS}) or 0 * count({_WORKERS})",
            steps=thresholds.ANY_IS_CRITICAL,
            no_value="unknown",
        ),
    ]


def _firing() -> Panel:
    return rows(
        "Firing alerts",
        "Which alerts fire, and for what? Needs the rules of `bullmq-exporter rules`.",
        [_ALERTS],
        [
            Column("severity", "Severity", mappings=thresholds.SEVERITY, width=80),
            Column("alertname", "Alert", width=230),
            Column("connection", "Connection", width=150),
            _QUEUE,
            Column("reason", "Reason"),
        ],
        # by descending name, causes come before their symptoms
        sort="Alert",
        no_value="No alert is firing",
        width=14,
        height=8,
    )


def _blocked() -> Panel:
    blocked = gauge("bullmq_queue_blocked", by=f"{BY_QUEUE}, reason")
    return rows(
        "Blocked queues",
        "Which queues have ready jobs but no progress, and why?",
        [f"{blocked} * on ({BY_QUEUE}) group_left () {READY}"],
        [
            Column("queue", "Queue", link=_QUEUE_LINK, width=120),
            Column("reason", "Reason", mappings=thresholds.REASONS, width=290),
            Column("A", "Ready", width=70),
            Column("connection", "Connection"),
        ],
        sort="Ready",
        no_value="No queue is reported as blocked",
        width=10,
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
            Column("A", "Oldest", "s", thresholds.LATE, decimals=1, width=_NARROW),
            Column("B", "Ready", width=_NARROW),
            Column("C", "Delayed", width=_NARROW),
            Column("D", "Overdue", steps=thresholds.ANY_IS_WARNING, width=_NARROW),
            Column("E", "Active", width=_NARROW),
            Column("F", "Children", width=_NARROW),
            Column("G", "Failed (kept)", width=_NARROW),
            Column("H", "Finished/s", decimals=2, width=_NARROW),
            Column("I", "Failed/s", decimals=2, width=_NARROW),
            Column("J", "Fail %", "percentunit", thresholds.RATIO, decimals=0, width=_NARROW),
            Column("K", "Wait p95", "s", width=_NARROW),
            Column("L", "Run p95", "s", width=_NARROW),
            Column("M", "Workers", width=_NARROW),
            Column("N", "Paused", mappings=thresholds.PAUSED_SHORT, width=_NARROW),
        ],
        sort="Oldest",
        no_value="No queues",
        height=8,
    )


def _throughput() -> list[Panel]:
    drain = f"clamp_max({READY} / ({finished()} > 0), 86400)"
    return [
        lines(
            "Added and finished per second",
            "Are more jobs added than finished?",
            Query(f"sum({rate('bullmq_queue_jobs_added_total')})", "added"),
            Query(f"sum({finished()})", "finished"),
            unit="cps",
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
            *(Query(quantile(q, wait), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)),
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
            unit="cps",
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
            Query(f"sum({rate('bullmq_queue_jobs_retried_total')})", "retried"),
            Query(f"sum({rate('bullmq_queue_jobs_stalled_total')})", "stalled"),
            unit="cps",
            no_value="Needs events.enabled",
            colors={"stalled": "red"},
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
