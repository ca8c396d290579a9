"""The catalogue of every metric family the exporter can expose.

The metrics page, documentation, dashboards, alert rules and tests are checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporter.collectors.queues import COLUMNS, STATES
from exporter.collectors.queues.subjects.active import OLDEST_ACTIVE
from exporter.collectors.queues.subjects.dead_letters import NEWEST_FAILED, OLDEST_FAILED
from exporter.collectors.queues.subjects.deduplication import LEFT_DEDUPLICATION_KEYS
from exporter.collectors.queues.subjects.events_stream import (
    EVENTS_STREAM_BYTES,
    EVENTS_STREAM_LENGTH,
)
from exporter.collectors.queues.subjects.flows import STUCK_PARENT_JOBS
from exporter.collectors.queues.subjects.groups import GROUPS
from exporter.collectors.queues.subjects.limits import PAUSED, RATE_LIMIT_REMAINING
from exporter.collectors.queues.subjects.poison import POISON_JOBS
from exporter.collectors.queues.subjects.priority_bands import PRIORITY_BANDS
from exporter.collectors.queues.subjects.scheduled import (
    DEAD_SCHEDULERS,
    DELAYED_OVERDUE_JOBS,
    DELAYED_OVERDUE_SECONDS,
    SCHEDULERS,
    SCHEDULERS_OVERDUE,
    SCHEDULERS_OVERDUE_SECONDS,
    STUCK_DELAYED_JOBS,
)
from exporter.collectors.queues.subjects.settings import CONCURRENCY_LIMIT, LIBRARY_VERSION
from exporter.collectors.queues.subjects.starving import STARVING_JOBS
from exporter.collectors.queues.subjects.stuck_active import STUCK_ACTIVE_JOBS
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING
from exporter.diagnosis import Reason
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckKind


class MetricType(StrEnum):
    """A family's type, as in a TYPE line."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column of the queue table, with the values of the labels after the queue's own."""

    column: Column[Any]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family, named as its samples are: a counter's name ends in `_total`."""

    name: str
    kind: MetricType
    labels: tuple[str, ...]
    help: str
    example: str
    """A PromQL query that uses it."""
    unit: str = ""
    columns: tuple[ShownColumn, ...] = ()
    """The columns of the queue table that provide its samples."""


_CONNECTION = ("connection",)
_COLLECTOR = ("connection", "collector")
_PREFIX = ("connection", "prefix")
_QUEUE = ("connection", "prefix", "queue")
_SLO = (*_QUEUE, "slo")


_rows: list[Family] = []


def _row(family: Family) -> Family:
    """Add a row to the catalogue; pages show families in this order."""
    _rows.append(family)
    return family


def _gauge(name: str, labels: tuple[str, ...], text: str, example: str, unit: str = "") -> Family:
    return _row(Family(name, MetricType.GAUGE, labels, text, example, unit))


def _queue_gauge(name: str, column: Column[Any], text: str, example: str, unit: str = "") -> Family:
    shown = (ShownColumn(column),)
    return _row(Family(name, MetricType.GAUGE, _QUEUE, text, example, unit, shown))


def _counter(name: str, labels: tuple[str, ...], text: str, example: str) -> Family:
    return _row(Family(name, MetricType.COUNTER, labels, text, example))


def _histogram(name: str, labels: tuple[str, ...], text: str, example: str) -> Family:
    return _row(Family(name, MetricType.HISTOGRAM, labels, text, example, "seconds"))


# --- exporter and connections --------------------------------------------------------------------

UP = _gauge(
    "bullmq_up",
    _CONNECTION,
    "Whether the last poll reached this Redis.",
    "min by (connection) (bullmq_up) == 0",
)
CONNECTION_INFO = _gauge(
    "bullmq_connection_info",
    (*_CONNECTION, "database", "url_hash", "run_id", "db", "role"),
    "Always 1. The server the connection reaches; database is the connection that reads the "
    "keyspace, url_hash is a hash of the URL without credentials.",
    "count by (database) (count by (database, connection) (bullmq_connection_info))",
)
CONNECTION_PING = _histogram(
    "bullmq_connection_ping_seconds",
    _CONNECTION,
    "Round-trip time of the PING that starts each poll.",
    "histogram_quantile(0.99, sum by (connection, le) "
    "(rate(bullmq_connection_ping_seconds_bucket[5m])))",
)
CONNECTION_WRITES_REFUSED = _gauge(
    "bullmq_connection_writes_refused",
    _CONNECTION,
    "Whether this Redis refuses writes (MISCONF, OOM, NOREPLICAS), as far as PING, INFO and the "
    "sync test show.",
    "bullmq_connection_writes_refused == 1",
)
CONNECTION_RECONNECTS = _counter(
    "bullmq_connection_reconnects_total",
    _CONNECTION,
    "Reconnections after a lost connection.",
    "increase(bullmq_connection_reconnects_total[1h]) > 0",
)
BUILD_INFO = _gauge(
    "bullmq_exporter_build_info",
    ("version", "python_version"),
    "Always 1. The versions of the exporter and of Python.",
    "count by (version) (bullmq_exporter_build_info)",
)
RENDER_FAILURES = _counter(
    "bullmq_exporter_render_failures_total",
    (),
    "Metrics pages that could not be rendered because of a bug. What is on the previous page is "
    "withdrawn when it becomes too old.",
    "increase(bullmq_exporter_render_failures_total[15m]) > 0",
)
RELOAD_SUCCESSFUL = _gauge(
    "bullmq_exporter_config_last_reload_successful",
    (),
    "Whether the last configuration reload succeeded; if not, the previous configuration stays in "
    "effect.",
    "bullmq_exporter_config_last_reload_successful == 0",
)
RELOAD_SUCCESS_TIME = _gauge(
    "bullmq_exporter_config_last_reload_success_timestamp_seconds",
    (),
    "Unix time at which the current configuration was loaded.",
    "time() - bullmq_exporter_config_last_reload_success_timestamp_seconds",
    "seconds",
)
COLLECTOR_SUCCESS = _gauge(
    "bullmq_exporter_collector_success",
    _COLLECTOR,
    "Whether the collector's last run succeeded; absent if Redis does not support or permit it.",
    "bullmq_exporter_collector_success == 0",
)
COLLECTOR_DURATION = _gauge(
    "bullmq_exporter_collector_duration_seconds",
    _COLLECTOR,
    "Duration of the collector's last run.",
    "topk(5, bullmq_exporter_collector_duration_seconds)",
    "seconds",
)
COLLECTOR_LAST_SUCCESS = _gauge(
    "bullmq_exporter_collector_last_success_timestamp_seconds",
    _COLLECTOR,
    "Unix time of the collector's last successful run.",
    "time() - bullmq_exporter_collector_last_success_timestamp_seconds > 60",
    "seconds",
)
COLLECTOR_ERRORS = _counter(
    "bullmq_exporter_collector_errors_total",
    (*_COLLECTOR, "error"),
    "Errors by class: failed runs, and single commands that failed in successful runs. The log has "
    "the messages.",
    "sum by (connection, collector, error) "
    "(increase(bullmq_exporter_collector_errors_total[15m])) > 0",
)
COLLECTOR_OVERSIZED = _counter(
    "bullmq_exporter_collector_oversized_total",
    _COLLECTOR,
    "Values from Redis above a size limit, which were cut or skipped. The log says which.",
    "increase(bullmq_exporter_collector_oversized_total[15m]) > 0",
)
DISCOVERY_SECONDS = _counter(
    "bullmq_exporter_discovery_redis_seconds_total",
    _CONNECTION,
    "Redis' time for finding queues (SCAN), at a microsecond for each key that it looks at. "
    "queues.discovery_redis_share limits it after the first pass.",
    "rate(bullmq_exporter_discovery_redis_seconds_total[15m])",
)
COLLECTOR_REFUSED = _gauge(
    "bullmq_exporter_collector_refused_commands",
    _COLLECTOR,
    "Commands that Redis refused to the collector's last run because they are not permitted or not "
    "supported; what needs them is absent.",
    "bullmq_exporter_collector_refused_commands > 0",
)
HISTORY_BYTES = _gauge(
    "bullmq_exporter_history_bytes",
    (),
    "Memory that the last hour of the queues takes at most; history.max_bytes limits it.",
    "bullmq_exporter_history_bytes",
    "bytes",
)
HISTORY_SKIPPED = _gauge(
    "bullmq_exporter_history_skipped_queues",
    (),
    "Queues that change, and of which no history is kept because history.max_bytes is used up.",
    "bullmq_exporter_history_skipped_queues > 0",
)
EXPORTER_QUEUES = _gauge(
    "bullmq_exporter_queues",
    _PREFIX,
    "Queues watched as of the last discovery; 0 for a configured prefix without queues.",
    "sum by (connection, prefix) (bullmq_exporter_queues)",
)
EXPORTER_QUEUES_DROPPED = _gauge(
    "bullmq_exporter_queues_dropped",
    _PREFIX,
    "Queues found but not watched: above queues.max, with a key above 1 kB, or indistinguishable "
    "from another by name.",
    "bullmq_exporter_queues_dropped > 0",
)

STUCK_LOOKS_SECONDS = _counter(
    "bullmq_exporter_stuck_looks_redis_seconds_total",
    _CONNECTION,
    "Redis' time for looking at jobs that may be stuck, by what each command takes as measured on "
    "a slow machine. queues.stuck_jobs_redis_share limits it.",
    "rate(bullmq_exporter_stuck_looks_redis_seconds_total[15m])",
)
STUCK_LOOKS_CUT = _counter(
    "bullmq_exporter_stuck_looks_cut_total",
    _CONNECTION,
    "Looks at jobs of a queue that were put off because queues.stuck_jobs_redis_share was used up: "
    "stuck jobs are found later.",
    "increase(bullmq_exporter_stuck_looks_cut_total[1h]) > 0",
)

# --- Redis ---------------------------------------------------------------------------------------

REDIS_INFO = _gauge(
    "bullmq_redis_info",
    (*_CONNECTION, "version", "mode", "role", "maxmemory_policy"),
    "Always 1. The server as INFO describes it; maxmemory_policy is empty if it is hidden.",
    "count by (version, maxmemory_policy) (bullmq_redis_info)",
)
REDIS_PERSISTENCE_OK = _gauge(
    "bullmq_redis_persistence_ok",
    (*_CONNECTION, "kind"),
    "Whether the last write of a snapshot (rdb) or of the append-only file (aof) succeeded; absent "
    "if that kind is off or has not written since the server started.",
    "bullmq_redis_persistence_ok == 0",
)
REDIS_VALUES = {
    "eviction_safe": _gauge(
        "bullmq_redis_eviction_safe",
        _CONNECTION,
        "1 if maxmemory-policy is noeviction, 0 if Redis may delete jobs to free memory.",
        "bullmq_redis_eviction_safe == 0",
    ),
    "memory_used_bytes": _gauge(
        "bullmq_redis_memory_used_bytes",
        _CONNECTION,
        "Memory allocated by Redis (used_memory).",
        "bullmq_redis_memory_used_bytes / (bullmq_redis_memory_max_bytes > 0)",
        "bytes",
    ),
    "memory_max_bytes": _gauge(
        "bullmq_redis_memory_max_bytes",
        _CONNECTION,
        "The maxmemory limit; 0 means no limit.",
        "bullmq_redis_memory_max_bytes == 0",
        "bytes",
    ),
    "memory_rss_bytes": _gauge(
        "bullmq_redis_memory_rss_bytes",
        _CONNECTION,
        "Resident memory of the Redis process (used_memory_rss).",
        "bullmq_redis_memory_rss_bytes - bullmq_redis_memory_used_bytes",
        "bytes",
    ),
    "memory_fragmentation_ratio": _gauge(
        "bullmq_redis_memory_fragmentation_ratio",
        _CONNECTION,
        "Resident memory divided by used memory.",
        "bullmq_redis_memory_fragmentation_ratio > 1.5",
        "ratio",
    ),
    "evicted_keys": _counter(
        "bullmq_redis_evicted_keys_total",
        _CONNECTION,
        "Keys evicted to free memory, in all databases; any increase can mean lost jobs.",
        "increase(bullmq_redis_evicted_keys_total[1h]) > 0",
    ),
    "expired_keys": _counter(
        "bullmq_redis_expired_keys_total",
        _CONNECTION,
        "Keys that expired, in all databases.",
        "rate(bullmq_redis_expired_keys_total[5m])",
    ),
    "commands_processed": _counter(
        "bullmq_redis_commands_processed_total",
        _CONNECTION,
        "Commands processed by Redis.",
        "rate(bullmq_redis_commands_processed_total[5m])",
    ),
    "rejected_connections": _counter(
        "bullmq_redis_rejected_connections_total",
        _CONNECTION,
        "Connections rejected because maxclients was reached.",
        "increase(bullmq_redis_rejected_connections_total[15m]) > 0",
    ),
    "connected_clients": _gauge(
        "bullmq_redis_connected_clients",
        _CONNECTION,
        "Connected clients, excluding replicas.",
        "bullmq_redis_connected_clients / bullmq_redis_max_clients > 0.8",
    ),
    "blocked_clients": _gauge(
        "bullmq_redis_blocked_clients",
        _CONNECTION,
        "Clients waiting in a blocking command, as idle workers do.",
        "bullmq_redis_blocked_clients",
    ),
    "max_clients": _gauge(
        "bullmq_redis_max_clients",
        _CONNECTION,
        "The maxclients limit.",
        "bullmq_redis_max_clients - bullmq_redis_connected_clients",
    ),
    "keys": _gauge(
        "bullmq_redis_keys",
        _CONNECTION,
        "Keys in the connection's database.",
        "deriv(bullmq_redis_keys[1h])",
    ),
    "start_timestamp_seconds": _gauge(
        "bullmq_redis_start_timestamp_seconds",
        _CONNECTION,
        "Unix time at which the server started.",
        "time() - bullmq_redis_start_timestamp_seconds < 600",
        "seconds",
    ),
    "master_link_up": _gauge(
        "bullmq_redis_master_link_up",
        _CONNECTION,
        "Whether the replica's link to its master is up; absent on a master.",
        "bullmq_redis_master_link_up == 0",
    ),
    "connected_replicas": _gauge(
        "bullmq_redis_connected_replicas",
        _CONNECTION,
        "Replicas connected to this server.",
        "bullmq_redis_connected_replicas < 1",
    ),
}
"""By the key of the value in `ServerFacts.values`."""

# --- queues --------------------------------------------------------------------------------------

QUEUE_JOBS = _row(
    Family(
        "bullmq_queue_size",
        MetricType.GAUGE,
        (*_QUEUE, "state"),
        "Jobs by BullMQ state as of the last poll. Jobs of a paused queue count as waiting in "
        "every BullMQ version, so waiting + prioritized are the ready jobs; Bull and BullMQ 3 "
        "count prioritized jobs as waiting.",
        'max by (connection, prefix, queue) (bullmq_queue_size{state="waiting"})',
        columns=tuple(ShownColumn(column, (state,)) for state, column in STATES.items()),
    )
)
QUEUE_PRIORITY_JOBS = _row(
    Family(
        "bullmq_queue_priority_jobs",
        MetricType.GAUGE,
        (*_QUEUE, "band"),
        "Prioritized jobs by band of priorities, of which 1 is the most urgent; absent without "
        "prioritized jobs. Up to a minute old; another priority of a job shows after the queue's "
        "next event.",
        "max by (connection, prefix, queue, band) (bullmq_queue_priority_jobs) > 0",
        columns=tuple(ShownColumn(column, (band,)) for band, column in PRIORITY_BANDS.items()),
    )
)
QUEUE_PAUSED = _queue_gauge(
    "bullmq_queue_paused", PAUSED, "Whether the queue is paused.", "bullmq_queue_paused == 1"
)
QUEUE_OLDEST_WAITING = _queue_gauge(
    "bullmq_queue_oldest_waiting_seconds",
    OLDEST_WAITING,
    "Age of the oldest ready job, 0 if there is none: the queue's latency. A delayed job's age "
    "starts when its delay ends, a returned job's when it is ready again. Only the jobs at both "
    "ends of the lists and the first of each priority are read; one in between may be older. With "
    "many priorities, the oldest may be found some polls later: the value is then too low, never "
    "too high.",
    "topk(10, max by (connection, prefix, queue) (bullmq_queue_oldest_waiting_seconds))",
    "seconds",
)
QUEUE_OLDEST_ACTIVE = _queue_gauge(
    "bullmq_queue_oldest_active_seconds",
    OLDEST_ACTIVE,
    "How long the oldest active job has run, by its worker's clock; 0 if none.",
    "max by (connection, prefix, queue) (bullmq_queue_oldest_active_seconds) > 3600",
    "seconds",
)
QUEUE_OLDEST_FAILED = _queue_gauge(
    "bullmq_queue_oldest_failed_timestamp_seconds",
    OLDEST_FAILED,
    "Unix time when the oldest of the failed jobs that are kept failed; absent without any.",
    "time() - max by (connection, prefix, queue) (bullmq_queue_oldest_failed_timestamp_seconds)",
    "seconds",
)
QUEUE_NEWEST_FAILED = _queue_gauge(
    "bullmq_queue_newest_failed_timestamp_seconds",
    NEWEST_FAILED,
    "Unix time when the newest of the failed jobs that are kept failed; absent without any. Up to "
    "a minute old if removeOnFail keeps their number the same.",
    "time() - max by (connection, prefix, queue) (bullmq_queue_newest_failed_timestamp_seconds)",
    "seconds",
)
QUEUE_DELAYED_OVERDUE_JOBS = _queue_gauge(
    "bullmq_queue_delayed_overdue_jobs",
    DELAYED_OVERDUE_JOBS,
    "Delayed jobs that are more than five seconds overdue; workers promote them as they fetch.",
    "bullmq_queue_delayed_overdue_jobs > 0",
)
QUEUE_DELAYED_OVERDUE_SECONDS = _queue_gauge(
    "bullmq_queue_delayed_overdue_seconds",
    DELAYED_OVERDUE_SECONDS,
    "How overdue the most overdue delayed job is; 0 if none.",
    "bullmq_queue_delayed_overdue_seconds > 60",
    "seconds",
)
QUEUE_SCHEDULERS = _queue_gauge(
    "bullmq_queue_schedulers",
    SCHEDULERS,
    "Job schedulers and repeatable jobs; up to a minute old if there were none before.",
    "max by (connection, prefix, queue) (bullmq_queue_schedulers)",
)
QUEUE_SCHEDULERS_OVERDUE = _queue_gauge(
    "bullmq_queue_schedulers_overdue",
    SCHEDULERS_OVERDUE,
    "Job schedulers whose next iteration is more than five seconds overdue; a scheduler advances "
    "when a worker starts its job. Finished ones, at their limit or past their end, do not count; "
    "absent until ten of them a poll were looked at.",
    "bullmq_queue_schedulers_overdue > 0",
)
QUEUE_SCHEDULERS_OVERDUE_SECONDS = _queue_gauge(
    "bullmq_queue_schedulers_overdue_seconds",
    SCHEDULERS_OVERDUE_SECONDS,
    "How overdue the most overdue job scheduler is; 0 if none.",
    "bullmq_queue_schedulers_overdue_seconds > 300",
    "seconds",
)
QUEUE_STUCK_JOBS = _row(
    Family(
        "bullmq_queue_stuck_jobs",
        MetricType.GAUGE,
        (*_QUEUE, "kind"),
        "Jobs that will not go on by themselves, as two looks ten seconds apart have found, at "
        "most ten of a kind: parents of flows of which no child can finish (parent), active jobs "
        "that no worker holds or puts back (active), schedulers whose next job is gone "
        "(scheduler), deduplication IDs whose job is gone or finished (deduplication), due delayed "
        "jobs that no worker promotes (delayed), prioritized jobs that newer ones always overtake "
        "(priority), and jobs that stall or fail again and again (poison). Appears with the first "
        "one; absent before, and if Redis refuses what it takes to find them.",
        "max by (connection, prefix, queue, kind) (bullmq_queue_stuck_jobs) > 0",
        columns=(
            ShownColumn(STUCK_PARENT_JOBS, (StuckKind.PARENT,)),
            ShownColumn(STUCK_ACTIVE_JOBS, (StuckKind.ACTIVE,)),
            ShownColumn(DEAD_SCHEDULERS, (StuckKind.SCHEDULER,)),
            ShownColumn(LEFT_DEDUPLICATION_KEYS, (StuckKind.DEDUPLICATION,)),
            ShownColumn(STUCK_DELAYED_JOBS, (StuckKind.DELAYED,)),
            ShownColumn(STARVING_JOBS, (StuckKind.PRIORITY,)),
            ShownColumn(POISON_JOBS, (StuckKind.POISON,)),
        ),
    )
)
QUEUE_WORKERS = _gauge(
    "bullmq_queue_workers",
    _QUEUE,
    "Connected workers according to CLIENT LIST. Absent if that is refused, on a replica, and if "
    "it lists none although jobs move, a job is locked or stalled-check is renewed: a worker "
    "without a connection name is not listed.",
    'bullmq_queue_workers == 0 and ignoring (state) bullmq_queue_size{state="waiting"} > 0',
)
QUEUE_DRAIN = _gauge(
    "bullmq_queue_drain_seconds",
    _QUEUE,
    "When no job will be ready, at the rates of up to ten minutes; 0 if none is, +Inf if that is "
    "never. Absent while it is unknown, as after a start.",
    "max by (connection, prefix, queue) (bullmq_queue_drain_seconds) > 3600",
    "seconds",
)
QUEUE_WORKERS_NEEDED = _gauge(
    "bullmq_queue_workers_needed",
    _QUEUE,
    "Workers that keep up with new jobs and work the backlog off within scaling.drain_seconds; the "
    "present number where more do not help. Absent while it is unknown.",
    "max by (connection, prefix, queue) (bullmq_queue_workers_needed) > "
    "max by (connection, prefix, queue) (bullmq_queue_workers)",
)
QUEUE_BLOCKED = _gauge(
    "bullmq_queue_blocked",
    (*_QUEUE, "reason"),
    "Always 1. Present while a job has been ready for poll.blocked_after_seconds and none moves, "
    f"with the first reason that applies: {', '.join(Reason)}.",
    "count by (reason) (max by (connection, prefix, queue, reason) (bullmq_queue_blocked))",
)
WORKER_ISOLATION = _gauge(
    "bullmq_worker_isolation",
    ("prefix", "queue", "producer_connection", "worker_connection"),
    "Always 1. Present while jobs of the queue wait in one database and its workers listen in "
    "another, to which no job was ever added.",
    "bullmq_worker_isolation",
)
QUEUE_CONCURRENCY_LIMIT = _queue_gauge(
    "bullmq_queue_concurrency_limit",
    CONCURRENCY_LIMIT,
    "The queue's global concurrency: the maximum of active jobs over all workers; absent without "
    "such a limit. Up to a minute old.",
    'bullmq_queue_size{state="active"} >= ignoring (state) bullmq_queue_concurrency_limit',
)
QUEUE_RATE_LIMIT_REMAINING = _queue_gauge(
    "bullmq_queue_rate_limit_remaining_seconds",
    RATE_LIMIT_REMAINING,
    "Time until the current rate limit window ends, for a queue with ready jobs; absent without "
    "rate limiting. It does not show whether the limit is reached.",
    "bullmq_queue_rate_limit_remaining_seconds > 60",
    "seconds",
)
QUEUE_EVENTS_STREAM_LENGTH = _queue_gauge(
    "bullmq_queue_events_stream_length",
    EVENTS_STREAM_LENGTH,
    "Events in the queue's event stream.",
    "topk(10, bullmq_queue_events_stream_length)",
)
QUEUE_EVENTS_STREAM_BYTES = _queue_gauge(
    "bullmq_queue_events_stream_bytes",
    EVENTS_STREAM_BYTES,
    "Memory of the queue's event stream, estimated by Redis (MEMORY USAGE); absent if the stream "
    "is empty. Up to a minute old.",
    "topk(10, max by (connection, prefix, queue) (bullmq_queue_events_stream_bytes))",
    "bytes",
)
QUEUE_GROUPS = _queue_gauge(
    "bullmq_queue_groups",
    GROUPS,
    "Groups of BullMQ Pro with waiting jobs; absent without any. The jobs in groups are in no "
    "other metric. Up to a minute old.",
    "max by (connection, prefix, queue) (bullmq_queue_groups)",
)
QUEUE_TARGET_WAIT = _gauge(
    "bullmq_queue_target_wait_seconds",
    _QUEUE,
    "How long a ready job of the queue may wait (queues.targets); absent without a target.",
    "bullmq_queue_oldest_waiting_seconds / bullmq_queue_target_wait_seconds",
    "seconds",
)
QUEUE_TARGET_RUN = _gauge(
    "bullmq_queue_target_run_seconds",
    _QUEUE,
    "How long a job of the queue may run (queues.targets); absent without a target.",
    "bullmq_queue_oldest_active_seconds / bullmq_queue_target_run_seconds",
    "seconds",
)
QUEUE_TARGET_FAILURE = _gauge(
    "bullmq_queue_target_failure_ratio",
    _QUEUE,
    "The share of finished jobs of the queue that may fail (queues.targets), 0 to 1; absent "
    "without a target.",
    "max by (connection, prefix, queue) (bullmq_queue_target_failure_ratio)",
    "ratio",
)
QUEUE_TARGET_SILENT = _gauge(
    "bullmq_queue_target_silent_seconds",
    _QUEUE,
    "How long no job may be added to the queue (queues.targets); absent without a target.",
    "time() - bullmq_queue_last_added_timestamp_seconds > bullmq_queue_target_silent_seconds",
    "seconds",
)
SLO_OBJECTIVE = _gauge(
    "bullmq_slo_objective_ratio",
    _SLO,
    "The share of jobs that must meet the target of the SLO, 0 to 1 (slos).",
    "1 - max by (connection, prefix, queue, slo) (bullmq_slo_objective_ratio)",
    "ratio",
)
SLO_TARGET = _gauge(
    "bullmq_slo_target_seconds",
    _SLO,
    "The target of the SLO: how long a job may wait, or run (slos).",
    "max by (connection, prefix, queue, slo) (bullmq_slo_target_seconds)",
    "seconds",
)
SLO_JOBS = _counter(
    "bullmq_slo_jobs_total",
    _SLO,
    "Jobs judged by the SLO: started, or ended, after a time that is known.",
    "sum by (slo) (increase(bullmq_slo_jobs_total[1d]))",
)
SLO_LATE_JOBS = _counter(
    "bullmq_slo_late_jobs_total",
    _SLO,
    "Jobs judged by the SLO that missed its target.",
    "increase(bullmq_slo_late_jobs_total[1d]) / (increase(bullmq_slo_jobs_total[1d]) > 0)",
)
SLO_SECONDS = _counter(
    "bullmq_slo_seconds_total",
    _SLO,
    "Time in which it was known whether the queue was stuck beyond the target of the SLO.",
    "rate(bullmq_slo_seconds_total[1d])",
)
SLO_LATE_SECONDS = _counter(
    "bullmq_slo_late_seconds_total",
    _SLO,
    "Time in which a job waited, or ran, beyond the target of the SLO while none was started, or "
    "ended.",
    "increase(bullmq_slo_late_seconds_total[1d])",
)
QUEUE_INFO = _row(
    Family(
        "bullmq_queue_info",
        MetricType.GAUGE,
        (*_QUEUE, "library_version"),
        "Always 1. The BullMQ version of the last producer to open the queue; empty if it recorded "
        "none. Up to a minute old.",
        "count by (library_version) (max by (connection, prefix, queue, library_version) "
        "(bullmq_queue_info))",
        columns=(ShownColumn(LIBRARY_VERSION),),
    )
)

# --- events --------------------------------------------------------------------------------------

_JOBS = (*_QUEUE, "job_name")
JOBS_ADDED = _counter(
    "bullmq_queue_jobs_added_total",
    _JOBS,
    "Jobs added, without duplicates. Like all job counters and durations, read from the queue's "
    "event stream since the exporter first saw it. job_name is empty unless events.job_names is "
    "on; names above events.max_job_names in a queue and unknown names are __other__.",
    "sum by (connection, prefix, queue) (rate(bullmq_queue_jobs_added_total[5m]))",
)
JOBS_DUPLICATED = _counter(
    "bullmq_queue_jobs_duplicated_total",
    _JOBS,
    "Adds that BullMQ (4 and later) ignored because the queue has, or still keeps, a job with the "
    "same ID. job_name is that of the existing job.",
    "sum by (connection, prefix, queue) (increase(bullmq_queue_jobs_duplicated_total[1h])) > 0",
)
JOBS_DEDUPLICATED = _counter(
    "bullmq_queue_jobs_deduplicated_total",
    _JOBS,
    "Adds that met a job with the same deduplication ID (BullMQ 5 and later): they were ignored, "
    "or, in replace mode, replaced the delayed job and also count as added.",
    "sum by (connection, prefix, queue) (rate(bullmq_queue_jobs_deduplicated_total[5m]))",
)
JOBS_STARTED = _counter(
    "bullmq_queue_jobs_started_total",
    _JOBS,
    "Jobs handed to a worker, once per attempt.",
    "sum by (connection, prefix, queue) (rate(bullmq_queue_jobs_started_total[5m]))",
)
JOBS_COMPLETED = _counter(
    "bullmq_queue_jobs_completed_total",
    _JOBS,
    "Jobs completed.",
    "sum by (connection, prefix, queue) (rate(bullmq_queue_jobs_completed_total[5m]))",
)
JOBS_FAILED = _counter(
    "bullmq_queue_jobs_failed_total",
    _JOBS,
    "Jobs that failed permanently, after their last attempt.",
    "sum by (connection, prefix, queue) (rate(bullmq_queue_jobs_failed_total[5m])) "
    "/ sum by (connection, prefix, queue) (rate(bullmq_queue_jobs_started_total[5m]))",
)
JOB_FAILURES = _counter(
    "bullmq_queue_job_failures_total",
    (*_QUEUE, "class"),
    "Jobs that failed permanently, by the class of their reason, which contains nothing of the "
    "payload. Only with `events.failure_classes`; classes beyond `events.max_failure_classes` "
    "count as `__other__`.",
    "topk by (connection, prefix, queue) (3, sum by (connection, prefix, queue, class) "
    "(increase(bullmq_queue_job_failures_total[1h])))",
)
JOBS_RETRIED = _counter(
    "bullmq_queue_jobs_retried_total",
    _JOBS,
    "Attempts after which the job was put back to be retried. Includes jobs that their processor "
    "moved to delayed or put back for a rate limit: the stream does not distinguish them.",
    "sum by (connection, prefix, queue) (increase(bullmq_queue_jobs_retried_total[1h]))",
)
JOBS_STALLED = _counter(
    "bullmq_queue_jobs_stalled_total",
    _JOBS,
    "Jobs put back because their worker did not renew the lock. Before BullMQ 5.53.2 the last "
    "stall of a job that stalls too often counts only as a failure.",
    "increase(bullmq_queue_jobs_stalled_total[1h]) > 0",
)
JOB_WAIT = _histogram(
    "bullmq_queue_job_wait_seconds",
    _JOBS,
    "Time from ready to active, per attempt; excludes the job's delay, includes pauses and limits. "
    "Appears with the queue's first event.",
    "histogram_quantile(0.95, sum by (connection, prefix, queue, le) "
    "(rate(bullmq_queue_job_wait_seconds_bucket[5m])))",
)
JOB_RUN = _histogram(
    "bullmq_queue_job_run_seconds",
    (*_JOBS, "outcome"),
    "Time from active to the outcome (completed, failed or retried), per attempt whose start was "
    "seen; excludes jobs that stalled too often and parents failed by a child. Appears with the "
    "queue's first event.",
    "sum by (connection, prefix, queue) (rate(bullmq_queue_job_run_seconds_sum[5m])) "
    "/ sum by (connection, prefix, queue) (rate(bullmq_queue_job_run_seconds_count[5m]))",
)
QUEUE_LAST_ADDED = _gauge(
    "bullmq_queue_last_added_timestamp_seconds",
    _QUEUE,
    "Unix time when a job was last added to the queue. Events that were not read, from before the "
    "exporter's start or lost, count as added jobs: it may be too late, never too early.",
    "time() - bullmq_queue_last_added_timestamp_seconds",
    "seconds",
)
JOBS_UNACCOUNTED = _gauge(
    "bullmq_queue_jobs_unaccounted",
    _QUEUE,
    "Unfinished jobs that vanished: by the events of the queue they should be there, but they are "
    "neither finished nor removed by BullMQ. Shown for an hour after the last one was missed. "
    "Absent where it cannot be known: no event stream, lost events, groups of BullMQ Pro.",
    "bullmq_queue_jobs_unaccounted > 0",
)
AUDIT_REBASES = _counter(
    "bullmq_queue_audit_rebases_total",
    (*_QUEUE, "reason"),
    "How often the number of unfinished jobs was accepted as it is, because the events do not "
    "explain it, by reason: clean, drain (or all ready jobs were deleted with their hashes), "
    "obliterate, scheduler or retry (operations that BullMQ writes no exact events for), "
    "lost_events, restart, stream_deleted, rollback (an older copy of the data was restored), "
    "surplus (jobs written without BullMQ), reported (after an hour as "
    "unaccounted).",
    'increase(bullmq_queue_audit_rebases_total{reason="rollback"}[1h]) > 0',
)
EVENTS_READ = _counter(
    "bullmq_queue_events_read_total",
    _QUEUE,
    "Events read from the queue's event stream.",
    "rate(bullmq_queue_events_read_total[5m])",
)
EVENTS_LOST = _counter(
    "bullmq_queue_events_lost_total",
    _QUEUE,
    "Events trimmed from the stream before they were read; the counters above miss them. Before "
    "Redis 7 their number is unknown, and each loss counts as one; one that looks like a "
    "trim of read events is not counted.",
    "increase(bullmq_queue_events_lost_total[1h]) > 0",
)
EVENTS_LAG = _gauge(
    "bullmq_exporter_events_lag_seconds",
    _CONNECTION,
    "Age of the oldest event still unread when the last pass ended; 0 if all were read.",
    "bullmq_exporter_events_lag_seconds > 30",
    "seconds",
)
EVENTS_INFLIGHT_DROPPED = _counter(
    "bullmq_exporter_inflight_jobs_dropped_total",
    _CONNECTION,
    "Jobs whose start was dropped to bound memory (events.max_inflight); their durations are "
    "missing.",
    "increase(bullmq_exporter_inflight_jobs_dropped_total[1h]) > 0",
)

# --- sync test -----------------------------------------------------------------------------------

_PAIR = ("writer", "reader")
SYNC_SUCCESS = _gauge(
    "bullmq_sync_success",
    _PAIR,
    "Whether the reader's connection sees what the writer's connection writes: 1 if every check of "
    "the last round passed. Absent if an ACL does not permit the test, or sync.groups separates "
    "them.",
    "bullmq_sync_success == 0",
)
SYNC_CHECK_SUCCESS = _gauge(
    "bullmq_sync_check_success",
    (*_PAIR, "check"),
    "Whether this check of the sync test passed; absent if an earlier failure skipped it.",
    "bullmq_sync_check_success == 0",
)
SYNC_DURATION = _gauge(
    "bullmq_sync_duration_seconds",
    _PAIR,
    "Duration of the pair's last test.",
    "max by (writer, reader) (bullmq_sync_duration_seconds)",
    "seconds",
)
SYNC_PROPAGATION = _gauge(
    "bullmq_sync_propagation_seconds",
    _PAIR,
    "Time from the writer's confirmed write until the reader saw the value.",
    "bullmq_sync_propagation_seconds > 0.1",
    "seconds",
)
SYNC_LAST_RUN = _gauge(
    "bullmq_sync_last_run_timestamp_seconds",
    _PAIR,
    "Unix time of the pair's last test.",
    "time() - bullmq_sync_last_run_timestamp_seconds > 300",
    "seconds",
)
SYNC_RUNS = _counter(
    "bullmq_sync_runs_total", _PAIR, "Tests of the pair.", "rate(bullmq_sync_runs_total[15m]) * 60"
)
SYNC_FAILURES = _counter(
    "bullmq_sync_failures_total",
    _PAIR,
    "Tests of the pair in which a check failed.",
    "increase(bullmq_sync_failures_total[1h]) / increase(bullmq_sync_runs_total[1h])",
)

CATALOGUE: tuple[Family, ...] = tuple(_rows)
"""In the order of the metrics page."""


def _check_columns() -> None:
    """Check that every public column of the queue table has a family, and no family another."""
    filled = {column for column in COLUMNS if not column.internal}
    shown = {each.column for family in CATALOGUE for each in family.columns}
    if hidden := filled - shown:
        raise ValueError(f"columns without a family in exporter/metrics.py: {hidden}")
    if unfilled := shown - filled:
        raise ValueError(f"columns of families that no subject counts or fills: {unfilled}")


_check_columns()
