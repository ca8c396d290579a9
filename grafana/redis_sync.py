"""BullMQ / Redis and sync: can the queue store, and our view of it, be trusted?"""

from __future__ import annotations

from typing import Final

from exporter.rules.alerts import REDIS
from grafana import thresholds
from grafana.panels import Column, Panel, Query, Row, build, lines, rows, stats, timeline
from grafana.promql import CHOSEN, CONNECTION, gauge, increase, rate, top
from grafana.variables import queues

_PAIR: Final = "writer, reader"
_NAMED: Final = "{{connection}}"
_OFF: Final = "Needs sync.enabled"


def dashboard() -> str:
    """The dashboard as JSON."""
    return build(
        REDIS,
        "BullMQ / Redis and sync",
        "Can the queue store, and our view of it, be trusted?",
        [
            Row("Do the services reach the same Redis?", _same()),
            Row("Is this Redis safe for jobs?", _safe()),
            Row("Load", _load()),
            Row("Events and discovery", _events()),
            Row("Sync test, in detail", _sync(), collapsed=True),
        ],
        queues(),
        since="now-6h",
    )


def _of(name: str, *more: str, by: str = "connection") -> str:
    return gauge(name, *more, by=by, scope=CONNECTION)


def _per_second(name: str) -> str:
    return rate(name, by="connection", scope=CONNECTION)


def _pair(name: str, *more: str, by: str = _PAIR) -> str:
    return f"min by ({by}) ({name}{{{', '.join([CHOSEN, *more])}}})"


def _same() -> list[Panel]:
    isolated = gauge(
        "bullmq_worker_isolation",
        by="prefix, queue, producer_connection, worker_connection",
        scope=CHOSEN,
    )
    info = _of("bullmq_connection_info", by="connection, database, url_hash, db, role")
    up = _of("bullmq_up")
    reached = (
        f"{up} * on (connection) group_left (database, url_hash, db, role) {info} "
        f"or on (connection) {up}"
    )
    return [
        rows(
            "Connections",
            "Which server answers whom? Connections that reach the same keyspace have the same "
            "database.",
            [
                reached,
                _of("bullmq_redis_info", by="connection, version, maxmemory_policy"),
            ],
            [
                Column("connection", "Connection", width=110),
                Column("A", "Redis", mappings=thresholds.REACHED, width=110),
                Column("database", "Database", width=110),
                Column("db", "db", width=50),
                Column("role", "Role", width=80),
                Column("version", "Version", width=80),
                Column("maxmemory_policy", "Policy", width=120),
                Column("url_hash", "URL hash"),
            ],
            no_value="No exporter",
            width=14,
            height=7,
        ),
        rows(
            "Sync test",
            "Does every connection see what the others write?",
            [_pair("bullmq_sync_success"), _pair("bullmq_sync_propagation_seconds")],
            [
                Column("writer", "What this writes"),
                Column("reader", "this"),
                Column("A", "sees", mappings=thresholds.SEES),
                Column("B", "after", "s"),
            ],
            sort="sees",
            ascending=True,
            no_value=_OFF,
            width=10,
            height=7,
        ),
        rows(
            "Jobs and workers in different databases",
            "Do jobs wait where their workers do not listen?",
            [isolated],
            [
                Column("queue", "Queue"),
                Column("prefix", "Prefix"),
                Column("producer_connection", "Jobs are where this points"),
                Column("worker_connection", "workers where this points"),
            ],
            no_value="None: every queue's jobs and workers share a database",
            width=14,
            height=5,
        ),
        rows(
            "Failing checks of the sync test",
            "Which step fails?",
            [f"{_pair('bullmq_sync_check_success', by=f'{_PAIR}, check')} == 0"],
            [
                Column("check", "Check"),
                Column("writer", "Writer"),
                Column("reader", "Reader"),
            ],
            no_value="All checks pass",
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
            legend=_NAMED,
            mappings=thresholds.SAFE,
            no_value="hidden by the server",
            width=6,
            height=5,
        ),
        stats(
            "Persistence",
            "Would a restart lose jobs?",
            _of("bullmq_redis_persistence_ok", by="connection, kind"),
            legend="{{connection}} {{kind}}",
            mappings=thresholds.WRITES,
            no_value="nothing written: a restart loses jobs",
            width=6,
            height=5,
        ),
        stats(
            "Running for",
            "Did Redis restart?",
            f"time() - {_of('bullmq_redis_start_timestamp_seconds')}",
            legend=_NAMED,
            unit="dtdurations",
            width=6,
            height=5,
        ),
        timeline(
            "Replication link",
            "Is failover data fresh? Only where a connection reads a replica.",
            Query(_of("bullmq_redis_master_link_up"), _NAMED),
            mappings=thresholds.UP,
            no_value="No replica is watched",
            width=6,
            height=5,
        ),
        lines(
            "Memory",
            "When will writes be refused?",
            Query(used, "used {{connection}}"),
            Query(f"{_of('bullmq_redis_memory_max_bytes')} > 0", "limit {{connection}}"),
            Query(_of("bullmq_redis_memory_rss_bytes"), "resident {{connection}}"),
            unit="bytes",
        ),
        lines(
            "Memory used of the limit",
            "How near is the limit, and where does the alert begin?",
            Query(
                f"{used} / ({_of('bullmq_redis_memory_max_bytes')} > 0)",
                _NAMED,
            ),
            unit="percentunit",
            no_value="No maxmemory is set",
            limit=thresholds.FULL_RATIO,
            maximum=1,
        ),
        lines(
            "Evicted, expired, turned away per second",
            "Did Redis drop something?",
            Query(_per_second("bullmq_redis_evicted_keys_total"), "evicted {{connection}}"),
            Query(_per_second("bullmq_redis_expired_keys_total"), "expired {{connection}}"),
            Query(
                _per_second("bullmq_redis_rejected_connections_total"),
                "turned away {{connection}}",
            ),
            unit="cps",
        ),
    ]


def _load() -> list[Panel]:
    pings = rate("bullmq_connection_ping_seconds_bucket", by="connection, le", scope=CONNECTION)
    return [
        lines(
            "Clients",
            "Are workers connected? Idle workers are blocked clients.",
            Query(_of("bullmq_redis_connected_clients"), "connected {{connection}}"),
            Query(_of("bullmq_redis_blocked_clients"), "blocked {{connection}}"),
            Query(_of("bullmq_redis_connected_replicas"), "replicas {{connection}}"),
            stepped=True,
            width=6,
        ),
        lines(
            "Clients of the limit",
            "How near is maxclients?",
            Query(
                f"{_of('bullmq_redis_connected_clients')} / {_of('bullmq_redis_max_clients')}",
                _NAMED,
            ),
            unit="percentunit",
            width=6,
        ),
        lines(
            "Commands per second",
            "How busy is Redis?",
            Query(_per_second("bullmq_redis_commands_processed_total"), _NAMED),
            unit="cps",
            width=6,
        ),
        lines(
            "PING, p95",
            "Is Redis slow, is it the way to it? Seen from the exporter.",
            Query(f"histogram_quantile(0.95, {pings}) >= 0", _NAMED),
            unit="s",
            width=6,
        ),
    ]


def _events() -> list[Panel]:
    return [
        lines(
            "Event lag",
            "How far behind the event streams are we?",
            Query(_of("bullmq_events_lag_seconds"), _NAMED),
            unit="s",
            no_value="Needs events.enabled",
            width=6,
        ),
        lines(
            "Events read per second",
            "Are the streams alive?",
            Query(top(10, rate("bullmq_events_read_total")), "{{queue}} ({{connection}})"),
            unit="cps",
            no_value="Needs events.enabled",
            width=6,
        ),
        lines(
            "Events lost",
            "Did trimming make us miss events? Then counters are too low.",
            Query(f"sum({increase('bullmq_events_lost_total')})", "lost"),
            no_value="Needs events.enabled",
            bars=True,
            colors={"lost": "red"},
            width=6,
        ),
        lines(
            "Queues and keys",
            "Is a new queue picked up? Does the keyspace grow?",
            Query(
                _of("bullmq_exporter_queues", by="connection, prefix"),
                "queues {{connection}} {{prefix}}",
            ),
            Query(_of("bullmq_redis_keys"), "keys {{connection}}"),
            stepped=True,
            width=6,
        ),
    ]


def _sync() -> list[Panel]:
    legend = "{{writer}} → {{reader}}"
    counted = increase("bullmq_sync_runs_total", by=_PAIR, scope=CHOSEN)
    failed = increase("bullmq_sync_failures_total", by=_PAIR, scope=CHOSEN)
    last = gauge("bullmq_sync_last_run_timestamp_seconds", by=_PAIR, scope=CHOSEN)
    return [
        timeline(
            "Sync test over time",
            "Since when?",
            Query(_pair("bullmq_sync_success"), legend),
            mappings=thresholds.PASSED,
            no_value=_OFF,
        ),
        lines(
            "Until the reader sees it",
            "How long do writes take to arrive?",
            Query(_pair("bullmq_sync_propagation_seconds"), legend),
            unit="s",
            no_value=_OFF,
            width=12,
        ),
        lines(
            "Length of a test",
            "Is the test slow?",
            Query(gauge("bullmq_sync_duration_seconds", by=_PAIR, scope=CHOSEN), legend),
            unit="s",
            no_value=_OFF,
        ),
        lines(
            "Tests failed",
            "Which share fails?",
            Query(f"{failed} / ({counted} > 0)", legend),
            unit="percentunit",
            no_value=_OFF,
            maximum=1,
        ),
        lines(
            "Last test",
            "Does the test run?",
            Query(f"time() - {last}", legend),
            unit="s",
            no_value=_OFF,
        ),
    ]
