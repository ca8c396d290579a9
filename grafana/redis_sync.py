"""BullMQ / Redis and sync: can Redis, and the exporter's view of it, be trusted?"""

from __future__ import annotations

from typing import Final

from exporter.rules.alerts import REDIS
from grafana import thresholds
from grafana.panels import (
    COMMANDS_PER_SECOND,
    EVENTS_PER_SECOND,
    PER_SECOND,
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
    CHOSEN,
    CONNECTION,
    gauge,
    increase,
    per_job,
    quantile,
    rate,
    top,
)
from grafana.variables import queues

_PAIR: Final = "job, writer, reader"
_CONNECTION_LEGEND: Final = "{{connection}} ({{job}})"
_JOB: Final = Column("job", "Job", width=95)
_NEEDS_SYNC: Final = "Needs sync.enabled"


def dashboard() -> str:
    """The dashboard as JSON."""
    return build(
        REDIS,
        "BullMQ / Redis and sync",
        "Can Redis, and the exporter's view of it, be trusted?",
        [
            Row("Do my services use the same Redis?", _same()),
            Row("Is this Redis safe for jobs?", _safe()),
            Row("Load", _load()),
            Row("Events and discovery", _events()),
            Row("Sync test details", _sync(), collapsed=True),
        ],
        queues(),
        since="now-6h",
    )


def _of(name: str, *more: str, by: str = BY_CONNECTION) -> str:
    return gauge(name, *more, by=by, scope=CONNECTION)


def _per_second(name: str) -> str:
    return rate(name, by=BY_CONNECTION, scope=CONNECTION)


def _pair(name: str, *more: str, by: str = _PAIR) -> str:
    return f"min by ({by}) ({name}{{{', '.join([CHOSEN, *more])}}})"


def _same() -> list[Panel]:
    isolated = gauge(
        "bullmq_worker_isolation",
        by="job, prefix, queue, producer_connection, worker_connection",
        scope=CHOSEN,
    )
    info = _of("bullmq_connection_info", by=f"{BY_CONNECTION}, database, url_hash, db, role")
    up = _of("bullmq_up")
    # two exporters may see different things for a moment: a row for each
    up_with_info = f"{info} * on ({BY_CONNECTION}) group_left () {up} or on ({BY_CONNECTION}) {up}"
    return [
        rows(
            "Connections",
            "Which server does each connection use? Connections with the same database share a "
            "keyspace.",
            [
                up_with_info,
                _of("bullmq_redis_info", by=f"{BY_CONNECTION}, version, maxmemory_policy"),
            ],
            [
                _JOB,
                Column("connection", "Connection", width=110),
                Column("A", "Redis", mappings=thresholds.REACHABLE, width=100),
                Column("database", "Database", width=105),
                Column("db", "db", width=50),
                Column("role", "Role", width=80),
                Column("version", "Version", width=80),
                Column("maxmemory_policy", "Policy", width=120),
                Column("url_hash", "URL hash"),
            ],
            sort=["Job", "Connection"],
            no_value="No exporter",
            width=14,
            height=7,
        ),
        rows(
            "Sync test",
            "Does every connection see what the others write?",
            [_pair("bullmq_sync_success"), _pair("bullmq_sync_propagation_seconds")],
            [
                _JOB,
                Column("writer", "Writer", width=120),
                Column("reader", "Reader", width=120),
                Column("A", "Result", mappings=thresholds.PASSED, width=80),
                Column("B", "Propagation", "s"),
            ],
            sort=["Result", "Job"],
            no_value=_NEEDS_SYNC,
            width=10,
            height=7,
        ),
        rows(
            "Jobs and workers in different databases",
            "Do jobs wait where no worker listens?",
            [isolated],
            [
                _JOB,
                Column("queue", "Queue"),
                Column("prefix", "Prefix"),
                Column("producer_connection", "Jobs on"),
                Column("worker_connection", "Workers on"),
            ],
            sort=["Job", "Queue"],
            no_value="No isolated workers reported",
            width=14,
            height=5,
        ),
        rows(
            "Failing sync checks",
            "Which check fails?",
            [f"{_pair('bullmq_sync_check_success', by=f'{_PAIR}, check')} == 0"],
            [
                _JOB,
                Column("check", "Check"),
                Column("writer", "Writer"),
                Column("reader", "Reader"),
            ],
            sort=["Job", "Check"],
            no_value="No failing check reported",
            width=10,
            height=5,
        ),
    ]


def _safe() -> list[Panel]:
    used = _of("bullmq_redis_memory_used_bytes")
    return [
        stats(
            "Eviction policy",
            "Can Redis delete jobs? BullMQ needs noeviction.",
            _of("bullmq_redis_eviction_safe"),
            legend=_CONNECTION_LEGEND,
            mappings=thresholds.SAFE,
            no_value="not reported by the server",
            width=6,
            height=5,
        ),
        stats(
            "Writes",
            "Can jobs be added and processed?",
            _of("bullmq_connection_writes_refused"),
            legend=_CONNECTION_LEGEND,
            mappings=thresholds.WRITABLE,
            no_value="not known",
            width=6,
            height=5,
        ),
        stats(
            "Persistence",
            "Would a restart lose jobs?",
            _of("bullmq_redis_persistence_ok", by=f"{BY_CONNECTION}, kind"),
            legend="{{connection}} {{kind}} ({{job}})",
            mappings=thresholds.PERSISTED,
            no_value="none, or not reported",
            width=6,
            height=5,
        ),
        stats(
            "Uptime",
            "Did Redis restart?",
            f"time() - {_of('bullmq_redis_start_timestamp_seconds')}",
            legend=_CONNECTION_LEGEND,
            unit="dtdurations",
            width=6,
            height=5,
        ),
        timeline(
            "Replication link",
            "Is the replica in sync with its master? Only for connections that read a replica.",
            Query(_of("bullmq_redis_master_link_up"), _CONNECTION_LEGEND),
            mappings=thresholds.UP,
            no_value="No connection reads a replica",
            width=6,
        ),
        lines(
            "Memory",
            "When will writes be refused?",
            Query(used, "used {{connection}} ({{job}})"),
            Query(f"{_of('bullmq_redis_memory_max_bytes')} > 0", "limit {{connection}} ({{job}})"),
            Query(_of("bullmq_redis_memory_rss_bytes"), "resident {{connection}} ({{job}})"),
            unit="bytes",
            width=6,
        ),
        lines(
            "Memory, share of limit",
            "How close is the limit, and where is the alert threshold?",
            Query(
                f"{used} / ({_of('bullmq_redis_memory_max_bytes')} > 0)",
                _CONNECTION_LEGEND,
            ),
            unit="percentunit",
            no_value="maxmemory is not set",
            limit=thresholds.FULL_RATIO,
            maximum=1,
            width=6,
        ),
        lines(
            "Evicted, expired, rejected per second",
            "Did Redis drop keys or connections?",
            Query(
                _per_second("bullmq_redis_evicted_keys_total"), "evicted {{connection}} ({{job}})"
            ),
            Query(
                _per_second("bullmq_redis_expired_keys_total"), "expired {{connection}} ({{job}})"
            ),
            Query(
                _per_second("bullmq_redis_rejected_connections_total"),
                "rejected {{connection}} ({{job}})",
            ),
            unit=PER_SECOND,
            width=6,
        ),
    ]


def _load() -> list[Panel]:
    ping = "bullmq_connection_ping_seconds"
    p95 = quantile(0.95, ping, by=BY_CONNECTION, scope=CONNECTION)
    return [
        lines(
            "Clients",
            "Are workers connected? Idle workers are blocked clients.",
            Query(_of("bullmq_redis_connected_clients"), "connected {{connection}} ({{job}})"),
            Query(_of("bullmq_redis_blocked_clients"), "blocked {{connection}} ({{job}})"),
            Query(_of("bullmq_redis_connected_replicas"), "replicas {{connection}} ({{job}})"),
            stepped=True,
            width=6,
        ),
        lines(
            "Clients, share of limit",
            "How close is maxclients?",
            Query(
                f"{_of('bullmq_redis_connected_clients')} / {_of('bullmq_redis_max_clients')}",
                _CONNECTION_LEGEND,
            ),
            unit="percentunit",
            width=6,
        ),
        lines(
            "Commands per second",
            "How busy is Redis?",
            Query(_per_second("bullmq_redis_commands_processed_total"), _CONNECTION_LEGEND),
            unit=COMMANDS_PER_SECOND,
            width=6,
        ),
        lines(
            "PING, p95",
            "Is Redis or the network slow? Measured by the exporter.",
            Query(p95, _CONNECTION_LEGEND),
            unit="s",
            width=6,
        ),
    ]


def _events() -> list[Panel]:
    return [
        lines(
            "Event lag",
            "How far is the exporter behind the event streams?",
            Query(_of("bullmq_exporter_events_lag_seconds"), _CONNECTION_LEGEND),
            unit="s",
            no_value="Needs events.enabled",
            width=6,
        ),
        lines(
            "Events read per second",
            "Which streams are active? The 10 busiest.",
            Query(
                top(10, rate("bullmq_queue_events_read_total")),
                "{{queue}} ({{connection}}, {{job}})",
            ),
            unit=EVENTS_PER_SECOND,
            no_value="Needs events.enabled",
            width=6,
        ),
        lines(
            "Events lost",
            "Were events trimmed before they were read? Then counters are too low.",
            Query(per_job("sum", increase("bullmq_queue_events_lost_total")), "lost ({{job}})"),
            no_value="Needs events.enabled",
            bars=True,
            width=6,
        ),
        lines(
            "Queues and keys",
            "Are new queues found? Does the keyspace grow?",
            Query(
                _of("bullmq_exporter_queues", by=f"{BY_CONNECTION}, prefix"),
                "queues {{connection}} {{prefix}} ({{job}})",
            ),
            Query(_of("bullmq_redis_keys"), "keys {{connection}} ({{job}})"),
            stepped=True,
            width=6,
        ),
    ]


def _sync() -> list[Panel]:
    legend = "{{writer}} → {{reader}} ({{job}})"
    runs = increase("bullmq_sync_runs_total", by=_PAIR, scope=CHOSEN)
    failed = increase("bullmq_sync_failures_total", by=_PAIR, scope=CHOSEN)
    last = gauge("bullmq_sync_last_run_timestamp_seconds", by=_PAIR, scope=CHOSEN)
    return [
        timeline(
            "Sync test over time",
            "When did the sync test start to fail?",
            Query(_pair("bullmq_sync_success"), legend),
            mappings=thresholds.PASSED,
            no_value=_NEEDS_SYNC,
        ),
        lines(
            "Propagation time",
            "How long until the reader sees a write?",
            Query(_pair("bullmq_sync_propagation_seconds"), legend),
            unit="s",
            no_value=_NEEDS_SYNC,
            width=12,
        ),
        lines(
            "Test duration",
            "Is the test slow?",
            Query(gauge("bullmq_sync_duration_seconds", by=_PAIR, scope=CHOSEN), legend),
            unit="s",
            no_value=_NEEDS_SYNC,
        ),
        lines(
            "Failed tests",
            "What share of the tests fails?",
            Query(f"{failed} / ({runs} > 0)", legend),
            unit="percentunit",
            no_value=_NEEDS_SYNC,
            maximum=1,
        ),
        lines(
            "Time since last test",
            "Is the test running?",
            Query(f"time() - {last}", legend),
            unit="s",
            no_value=_NEEDS_SYNC,
        ),
    ]
