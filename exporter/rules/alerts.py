"""The alerts with their thresholds, which dashboards use as well.

Alerts identify a queue by job, connection, prefix and queue but not by instance, so that two
exporters of the same Redis cause one alert. %queue, %connection, %pair and %isolation stand for
such lists of labels.
"""

from __future__ import annotations

from typing import Final

from exporter.rules.model import QUEUE_NAME, Alert, Setting, Severity, Subject, seconds
from exporter.rules.recordings import KEPT, READY
from exporter.rules.slos import SLO_ALERTS

OVERVIEW, QUEUE, REDIS, EXPORTER = (
    "bullmq-overview",
    "bullmq-queue",
    "bullmq-redis",
    "bullmq-exporter",
)

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
_DAY: Final = 24 * HOUR
_TEN_MINUTES: Final = seconds(10 * MINUTE)

_NOT_PAUSED = "unless on (%queue) (max by (%queue) (bullmq_queue_paused) == 1)"


def _counted(*counters: str) -> str:
    """The increase of these counters per queue, from the exporter that saw the largest increase."""
    summed = " + ".join(
        f"sum by (%queue, instance) (increase({name}[%window]))" for name in counters
    )
    return f"max by (%queue) ({summed})"


def _grown(counter: str) -> str:
    """The increase of a counter of Redis, if it is not constant.

    It begins with what it counted before the exporter was started. VictoriaMetrics takes that for
    an increase, if it is less than ten.
    """
    most, least = (f"{which}_over_time({counter}[%window])" for which in ("max", "min"))
    return f"max by (%connection) (increase({counter}[%window]) and {most} > {least})"


_FAILED = _counted("bullmq_queue_jobs_failed_total")
_FINISHED = _counted("bullmq_queue_jobs_completed_total", "bullmq_queue_jobs_failed_total")
_RATIO = f"{_FAILED} / ({_FINISHED} > 0)"
_DUPLICATED = _counted("bullmq_queue_jobs_duplicated_total")
_ADDS = _counted("bullmq_queue_jobs_added_total", "bullmq_queue_jobs_duplicated_total")
_ROLLED_BACK = _counted('bullmq_queue_audit_rebases_total{reason="rollback"}')
_ENOUGH_FAILED = f"and on (%queue) {_FAILED} > %above_jobs"


def _target(name: str) -> str:
    """The target of each queue that has one in `queues.targets`."""
    return f"max by (%queue) (bullmq_queue_target_{name})"


def _above(value: str, default: str, target: str, factor: str = "") -> str:
    """Above the queue's own target if there is one, else above the default."""
    limit = _target(target)
    return (
        f"({value} > on (%queue) {factor}{limit} "
        f"or ({value} unless on (%queue) {limit}) > {default})"
    )


INTENDED: Final = ("paused", "rate_limited", "concurrency_limit")
"""As in the diagnosis, which the command line does not import; findings check that it agrees."""
NOT_INTENDED: Final = f'reason!~"{"|".join(INTENDED)}"'
"""Reasons for which nobody has asked; dashboards count the same queues as the alert."""

_WAITING = "max by (%queue) (bullmq_queue_oldest_waiting_seconds)"
_RUNNING = "max by (%queue) (bullmq_queue_oldest_active_seconds)"
_SILENT = "time() - max by (%queue) (bullmq_queue_last_added_timestamp_seconds)"
_MEMORY_LEFT = (
    "(max by (%connection) (bullmq_redis_memory_max_bytes > 0) "
    "- max by (%connection) (bullmq_redis_memory_used_bytes))"
)
_MEMORY_GROWTH = "(max by (%connection) (deriv(bullmq_redis_memory_used_bytes[%window])) > 0)"
_FULL_IN = f"clamp_min({_MEMORY_LEFT} / {_MEMORY_GROWTH}, 0)"
_REFUSES_WRITES = (
    "label_replace(max by (%connection) (bullmq_connection_writes_refused) == 1, "
    '"writer", "$1", "connection", "(.*)")'
)
_UNREACHABLE = (
    'label_replace(max by (%connection) (bullmq_up) == 0, "{0}", "$1", "connection", "(.*)")'
)


def _both(one: str, other: str) -> str:
    """Both connections in alphabetical order, so that alerts about a pair have one label."""
    a, b = f"$labels.{one}", f"$labels.{other}"
    return (
        f"{{{{ if lt {a} {b} }}}}{{{{ {a} }}}},{{{{ {b} }}}}"
        f"{{{{ else }}}}{{{{ {b} }}}},{{{{ {a} }}}}{{{{ end }}}}"
    )


ALERTS: Final = (
    Alert(
        "ExporterDown",
        Severity.CRITICAL,
        Subject.EXPORTER,
        "up == 0 and on (job, instance) last_over_time(bullmq_exporter_build_info[%window])",
        "BullMQ exporter down: {{ $labels.instance }}",
        "Prometheus cannot scrape {{ $labels.instance }} (job {{ $labels.job }}), which was a "
        "BullMQ exporter within the last hours. The state of its queues is unknown.",
        EXPORTER,
        seconds(5 * MINUTE),
        {"window": seconds(6 * HOUR)},
    ),
    Alert(
        "ExporterAbsent",
        Severity.CRITICAL,
        Subject.EXPORTER,
        "absent(bullmq_exporter_build_info)",
        "No BullMQ exporter is being scraped",
        "Prometheus scrapes no BullMQ exporter, so no other BullMQ alert can fire.",
        EXPORTER,
        seconds(10 * MINUTE),
    ),
    Alert(
        "PageNotRendered",
        Severity.CRITICAL,
        Subject.EXPORTER,
        "increase(bullmq_exporter_render_failures_total[%window]) > 0",
        "BullMQ exporter cannot show its metrics: {{ $labels.instance }}",
        "A bug keeps the exporter {{ $labels.instance }} (job {{ $labels.job }}) from rendering "
        "its metrics page, so samples may be missing. Its log has the error.",
        EXPORTER,
        seconds(0),
        {"window": seconds(15 * MINUTE)},
    ),
    Alert(
        "ConfigReloadFailed",
        Severity.WARNING,
        Subject.EXPORTER,
        "bullmq_exporter_config_last_reload_successful == 0",
        "Configuration reload failed: {{ $labels.instance }}",
        "The exporter {{ $labels.instance }} (job {{ $labels.job }}) keeps its previous "
        "configuration and would not start with the new one. Its log lists the errors.",
        EXPORTER,
        seconds(5 * MINUTE),
    ),
    Alert(
        "RedisUnreachable",
        Severity.CRITICAL,
        Subject.CONNECTION,
        "max by (%connection) (bullmq_up) == 0",
        "Redis unreachable: {{ $labels.connection }}",
        "The exporter is running but cannot reach the Redis of connection "
        "{{ $labels.connection }}. Its jobs have probably stopped as well.",
        REDIS,
        seconds(2 * MINUTE),
    ),
    Alert(
        "CollectionStale",
        Severity.WARNING,
        Subject.CONNECTION,
        # discovery has its own interval, which may be long
        "time() - max by (%connection, collector) "
        '(bullmq_exporter_collector_last_success_timestamp_seconds{collector!="discovery"}) '
        "> %above_seconds",
        "Stale metrics: {{ $labels.collector }} of {{ $labels.connection }}",
        "The collector {{ $labels.collector }} of connection {{ $labels.connection }} last "
        "succeeded {{ $value | humanizeDuration }} ago. Its samples are withdrawn.",
        EXPORTER,
        seconds(2 * MINUTE),
        {"above_seconds": seconds(180)},
    ),
    Alert(
        "CollectionErrors",
        Severity.WARNING,
        Subject.CONNECTION,
        "max by (%connection, collector, error) "
        "(rate(bullmq_exporter_collector_errors_total[%window])) > 0",
        "Collector errors: {{ $labels.collector }} of {{ $labels.connection }} "
        "({{ $labels.error }})",
        "The collector {{ $labels.collector }} of connection {{ $labels.connection }} keeps "
        "getting {{ $labels.error }} errors, so part of the data is missing. The exporter's log "
        "has the messages.",
        EXPORTER,
        seconds(15 * MINUTE),
        {"window": seconds(10 * MINUTE)},
    ),
    Alert(
        "DiscoveryRefused",
        Severity.CRITICAL,
        Subject.CONNECTION,
        "max by (%connection) "
        '(bullmq_exporter_collector_refused_commands{collector="discovery"}) > 0',
        "Queues cannot be discovered: {{ $labels.connection }}",
        "Redis does not permit SCAN on connection {{ $labels.connection }}, so queues are not "
        "found, and nothing is known of them. Permit SCAN, or list the queues in queues.static.",
        EXPORTER,
        seconds(5 * MINUTE),
    ),
    Alert(
        "CommandsRefused",
        Severity.WARNING,
        Subject.CONNECTION,
        "max by (%connection, collector) "
        '(bullmq_exporter_collector_refused_commands{collector=~"queues|events"}) > 0',
        "Redis refuses commands: {{ $labels.collector }} of {{ $labels.connection }}",
        "Redis does not permit commands that the collector {{ $labels.collector }} of connection "
        "{{ $labels.connection }} needs, so part of the data is unknown and some alerts cannot "
        "fire. The exporter's log and bullmq-exporter check name the commands.",
        EXPORTER,
        seconds(15 * MINUTE),
    ),
    Alert(
        "NoQueuesFound",
        Severity.WARNING,
        Subject.CONNECTION,
        "max by (%connection, prefix) (bullmq_exporter_queues) == 0",
        "No queues found: prefix {{ $labels.prefix }} on {{ $labels.connection }}",
        "The exporter finds no queue under the prefix {{ $labels.prefix }} on connection "
        "{{ $labels.connection }}. The Redis, the database number, queues.prefixes or "
        "queues.include is probably wrong.",
        EXPORTER,
        seconds(15 * MINUTE),
    ),
    Alert(
        "QueuesDropped",
        Severity.WARNING,
        Subject.CONNECTION,
        "max by (%connection, prefix) (bullmq_exporter_queues_dropped) > 0",
        "Queues not watched: prefix {{ $labels.prefix }} on {{ $labels.connection }} "
        "({{ $value | humanize }})",
        "{{ $value | humanize }} queues under the prefix {{ $labels.prefix }} on connection "
        "{{ $labels.connection }} are not watched: there are more than queues.max, or their names "
        "are too long or cannot be distinguished.",
        EXPORTER,
        seconds(15 * MINUTE),
    ),
    Alert(
        "EventsLagging",
        Severity.WARNING,
        Subject.CONNECTION,
        "max by (%connection) (bullmq_exporter_events_lag_seconds) > %above_seconds",
        "Events lag behind: {{ $labels.connection }} ({{ $value | humanizeDuration }})",
        "The exporter reads the events of connection {{ $labels.connection }} with a delay of "
        "{{ $value | humanizeDuration }}: counters and rates are old. More events are written than "
        "it may read in a poll.",
        EXPORTER,
        seconds(5 * MINUTE),
        {"above_seconds": seconds(60)},
    ),
    Alert(
        "EventGap",
        Severity.INFO,
        Subject.QUEUE,
        "max by (%queue) (increase(bullmq_queue_events_lost_total[%window])) > 0",
        f"Events lost: {QUEUE_NAME}",
        f"About {{{{ $value | humanize }}}} events of {QUEUE_NAME} were trimmed from the stream "
        "before they were read. Counters and durations of that time are too low.",
        REDIS,
        seconds(0),
        {"window": seconds(15 * MINUTE)},
    ),
    Alert(
        "JobsWaitingTooLong",
        Severity.WARNING,
        Subject.QUEUE,
        f"{_above(_WAITING, '%above_seconds', 'wait_seconds')} {_NOT_PAUSED}",
        f"Jobs waiting too long: {QUEUE_NAME} ({{{{ $value | humanizeDuration }}}})",
        f"The oldest ready job of {QUEUE_NAME} has been waiting for "
        "{{ $value | humanizeDuration }}.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_seconds": seconds(300)},
    ),
    Alert(
        "JobsWaitingFarTooLong",
        Severity.CRITICAL,
        Subject.QUEUE,
        f"{_above(_WAITING, '%above_seconds', 'wait_seconds', '%target_factor * ')} {_NOT_PAUSED}",
        f"Jobs waiting far too long: {QUEUE_NAME} ({{{{ $value | humanizeDuration }}}})",
        f"The oldest ready job of {QUEUE_NAME} has been waiting for "
        "{{ $value | humanizeDuration }}. Treat this as an outage.",
        QUEUE,
        seconds(10 * MINUTE),
        {"above_seconds": seconds(HOUR), "target_factor": Setting(12)},
    ),
    Alert(
        "QueueNotDraining",
        Severity.CRITICAL,
        Subject.QUEUE,
        f"{READY} > 0 and on (%queue) {_FINISHED} == 0 {_NOT_PAUSED}",
        f"No job finishes: {QUEUE_NAME} ({{{{ $value | humanize }}}} ready)",
        f"{QUEUE_NAME} has ready jobs ({{{{ $value | humanize }}}}), but no job has finished "
        "recently. Its workers hang or are gone.",
        QUEUE,
        seconds(10 * MINUTE),
        {"window": seconds(15 * MINUTE)},
    ),
    Alert(
        "BacklogGrowing",
        Severity.WARNING,
        Subject.QUEUE,
        f"{READY} > %above_jobs and on (%queue) deriv({READY}[%window]) > 0 {_NOT_PAUSED}",
        f"Backlog growing: {QUEUE_NAME} ({{{{ $value | humanize }}}} ready)",
        f"{QUEUE_NAME} has {{{{ $value | humanize }}}} ready jobs, and the number keeps growing: "
        "jobs are added faster than its workers process them.",
        QUEUE,
        seconds(30 * MINUTE),
        {"above_jobs": Setting(1000), "window": seconds(30 * MINUTE)},
    ),
    Alert(
        "KeptJobsFillMemory",
        Severity.WARNING,
        Subject.QUEUE,
        f"(deriv({KEPT}[%window]) > %above_per_second) * 0 "
        f"+ on (%connection) group_left () ({_FULL_IN} < %below_seconds)",
        f"Kept jobs grow, and memory is full in {{{{ $value | humanizeDuration }}}}: {QUEUE_NAME}",
        f"{QUEUE_NAME} keeps more and more finished jobs, and the memory of its Redis grows: at "
        "this rate it reaches maxmemory in {{ $value | humanizeDuration }}. Set removeOnComplete "
        "and removeOnFail.",
        QUEUE,
        seconds(30 * MINUTE),
        {
            "above_per_second": Setting(0.5),
            "below_seconds": seconds(7 * _DAY),
            "window": seconds(30 * MINUTE),
        },
    ),
    Alert(
        "NoWorkers",
        Severity.CRITICAL,
        Subject.QUEUE,
        "sum by (%queue) "
        '(max by (%queue, state) (bullmq_queue_size{state=~"waiting|prioritized|active"})) > 0 '
        f"and on (%queue) max by (%queue) (bullmq_queue_workers) == 0 {_NOT_PAUSED}",
        f"No worker connected: {QUEUE_NAME} ({{{{ $value | humanize }}}} pending)",
        f"{QUEUE_NAME} has unfinished jobs ({{{{ $value | humanize }}}} ready or active), but no "
        "worker for it is connected to that Redis.",
        QUEUE,
        seconds(5 * MINUTE),
    ),
    Alert(
        "StuckJobs",
        Severity.WARNING,
        Subject.QUEUE,
        # delayed ones are those of DelayedJobsOverdue
        'max by (%queue, kind) (bullmq_queue_stuck_jobs{kind!="delayed"}) > 0',
        f"Stuck jobs: {QUEUE_NAME} ({{{{ $value | humanize }}}}, {{{{ $labels.kind }}}})",
        f"Jobs of {QUEUE_NAME} will not go on by themselves ({{{{ $labels.kind }}}}). The status "
        "page and /health/queues name them, with proof.",
        QUEUE,
        seconds(MINUTE),
    ),
    Alert(
        "JobsVanished",
        Severity.CRITICAL,
        Subject.QUEUE,
        f"max by (%queue) (bullmq_queue_jobs_unaccounted) > %above_jobs or {_ROLLED_BACK} > 0",
        f"Jobs vanished: {QUEUE_NAME}",
        f"Jobs of {QUEUE_NAME} are gone that have neither finished nor been removed by BullMQ: "
        "keys were evicted or deleted, or an older copy of the data was restored. The status page "
        "and /health/queues say what is known about the cause.",
        QUEUE,
        seconds(0),
        {"above_jobs": Setting(0), "window": seconds(HOUR)},
    ),
    Alert(
        "QueuePausedTooLong",
        Severity.INFO,
        Subject.QUEUE,
        "max by (%queue) (bullmq_queue_paused) == 1",
        f"Queue paused: {QUEUE_NAME}",
        f"{QUEUE_NAME} is paused: its jobs wait. Resume it if that is not intended.",
        QUEUE,
        seconds(HOUR),
    ),
    Alert(
        "QueueSilent",
        Severity.WARNING,
        Subject.QUEUE,
        f"{_SILENT} > on (%queue) {_target('silent_seconds')}",
        f"No job is added: {QUEUE_NAME} ({{{{ $value | humanizeDuration }}}})",
        f"The last job was added to {QUEUE_NAME} {{{{ $value | humanizeDuration }}}} ago, longer "
        "than the silent_seconds of its target. Its producer may be down.",
        QUEUE,
        seconds(5 * MINUTE),
    ),
    Alert(
        "HighFailureRatio",
        Severity.WARNING,
        Subject.QUEUE,
        f"{_above(_RATIO, '%above_ratio', 'failure_ratio')} {_ENOUGH_FAILED}",
        f"High failure ratio: {QUEUE_NAME} ({{{{ $value | humanizePercentage }}}})",
        f"{{{{ $value | humanizePercentage }}}} of the finished jobs of {QUEUE_NAME} "
        "failed permanently, after all their attempts.",
        QUEUE,
        seconds(10 * MINUTE),
        {"above_ratio": Setting(0.05), "above_jobs": Setting(5), "window": _TEN_MINUTES},
    ),
    Alert(
        "VeryHighFailureRatio",
        Severity.CRITICAL,
        Subject.QUEUE,
        f"{_RATIO} > %above_ratio unless on (%queue) {_target('failure_ratio')} {_ENOUGH_FAILED}",
        f"Very high failure ratio: {QUEUE_NAME} ({{{{ $value | humanizePercentage }}}})",
        f"{{{{ $value | humanizePercentage }}}} of the finished jobs of {QUEUE_NAME} "
        "failed permanently, after all their attempts. Most of the work is lost.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_ratio": Setting(0.5), "above_jobs": Setting(20), "window": _TEN_MINUTES},
    ),
    Alert(
        "JobsStalled",
        Severity.WARNING,
        Subject.QUEUE,
        f"{_counted('bullmq_queue_jobs_stalled_total')} > %above_jobs",
        f"Jobs stalled: {QUEUE_NAME} ({{{{ $value | humanize }}}})",
        f"About {{{{ $value | humanize }}}} jobs of {QUEUE_NAME} were put back because their "
        "workers did not renew the locks. Workers crash or block their event loop.",
        QUEUE,
        seconds(0),
        {"above_jobs": Setting(3), "window": seconds(15 * MINUTE)},
    ),
    Alert(
        "MostJobsDuplicated",
        Severity.WARNING,
        Subject.QUEUE,
        f"{_DUPLICATED} / ({_ADDS} > 0) > %above_ratio and on (%queue) {_DUPLICATED} > %above_jobs",
        f"Most adds ignored as duplicates: {QUEUE_NAME} ({{{{ $value | humanizePercentage }}}})",
        f"{{{{ $value | humanizePercentage }}}} of the adds to {QUEUE_NAME} were ignored because "
        "a job with the same ID exists. BullMQ reports no error, so their producers may not know.",
        QUEUE,
        # longer than the window, so that adding the same jobs again once is no alert
        seconds(20 * MINUTE),
        {"above_ratio": Setting(0.5), "above_jobs": Setting(20), "window": seconds(15 * MINUTE)},
    ),
    Alert(
        "DelayedJobsOverdue",
        Severity.WARNING,
        Subject.QUEUE,
        f"max by (%queue) (bullmq_queue_delayed_overdue_seconds) > %above_seconds {_NOT_PAUSED}",
        f"Delayed jobs overdue: {QUEUE_NAME} ({{{{ $value | humanizeDuration }}}})",
        f"A delayed job of {QUEUE_NAME} was due {{{{ $value | humanizeDuration }}}} ago, but no "
        "worker has promoted it.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_seconds": seconds(120)},
    ),
    Alert(
        "SchedulerOverdue",
        Severity.WARNING,
        Subject.QUEUE,
        f"max by (%queue) (bullmq_queue_schedulers_overdue_seconds) > %above_seconds {_NOT_PAUSED}",
        f"Job scheduler overdue: {QUEUE_NAME} ({{{{ $value | humanizeDuration }}}})",
        f"A job scheduler of {QUEUE_NAME} was due {{{{ $value | humanizeDuration }}}} ago: a "
        "repeating job is not running.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_seconds": seconds(300)},
    ),
    Alert(
        "ActiveJobTooLong",
        Severity.WARNING,
        Subject.QUEUE,
        _above(_RUNNING, "%above_seconds", "run_seconds"),
        f"Job running too long: {QUEUE_NAME} ({{{{ $value | humanizeDuration }}}})",
        f"The oldest active job of {QUEUE_NAME} started {{{{ $value | humanizeDuration }}}} ago. "
        "It is stuck or has no timeout.",
        QUEUE,
        seconds(10 * MINUTE),
        {"above_seconds": seconds(HOUR)},
    ),
    Alert(
        "RedisWritesRefused",
        Severity.CRITICAL,
        Subject.CONNECTION,
        "max by (%connection) (bullmq_connection_writes_refused) == 1",
        "Redis refuses writes: {{ $labels.connection }}",
        "The Redis of {{ $labels.connection }} answers reads but refuses writes, so jobs can be "
        "neither added nor processed. Restarting workers does not help.",
        REDIS,
        seconds(MINUTE),
    ),
    Alert(
        "RedisPersistenceFailing",
        Severity.CRITICAL,
        Subject.CONNECTION,
        "min by (%connection, kind) (bullmq_redis_persistence_ok) == 0",
        "Redis cannot save its data: {{ $labels.connection }} ({{ $labels.kind }})",
        "The last write of {{ $labels.kind }} by the Redis of {{ $labels.connection }} failed. A "
        "restart loses jobs, and with stop-writes-on-bgsave-error Redis refuses writes. Usually "
        "the disk is full.",
        REDIS,
        seconds(5 * MINUTE),
    ),
    Alert(
        "RedisKeysEvicted",
        Severity.CRITICAL,
        Subject.CONNECTION,
        f"{_grown('bullmq_redis_evicted_keys_total')} > 0",
        "Redis has deleted keys: {{ $labels.connection }} ({{ $value | humanize }})",
        "The Redis of {{ $labels.connection }} has evicted about {{ $value | humanize }} keys to "
        "free memory. Jobs may be lost, and queues may be inconsistent.",
        REDIS,
        seconds(0),
        {"window": seconds(15 * MINUTE)},
    ),
    Alert(
        "RedisReplicaLinkDown",
        Severity.WARNING,
        Subject.CONNECTION,
        "min by (%connection) (bullmq_redis_master_link_up) == 0",
        "Replica without its master: {{ $labels.connection }}",
        "Connection {{ $labels.connection }} reaches a replica whose link to its master is down. "
        "What it shows of the queues is old.",
        REDIS,
        seconds(5 * MINUTE),
    ),
    Alert(
        "RedisClientsNearLimit",
        Severity.WARNING,
        Subject.CONNECTION,
        "max by (%connection) (bullmq_redis_connected_clients / "
        "(bullmq_redis_max_clients > 0)) > %above_ratio",
        "Redis has nearly too many clients: {{ $labels.connection }} "
        "({{ $value | humanizePercentage }})",
        "{{ $value | humanizePercentage }} of maxclients are connected to the Redis of "
        "{{ $labels.connection }}. When the limit is reached, services cannot connect.",
        REDIS,
        seconds(5 * MINUTE),
        {"above_ratio": Setting(0.9)},
    ),
    Alert(
        "RedisClientsRejected",
        Severity.CRITICAL,
        Subject.CONNECTION,
        f"{_grown('bullmq_redis_rejected_connections_total')} > 0",
        "Redis rejects clients: {{ $labels.connection }} ({{ $value | humanize }})",
        "The Redis of {{ $labels.connection }} has rejected about {{ $value | humanize }} "
        "connections because maxclients was reached. Services cannot connect.",
        REDIS,
        seconds(0),
        {"window": seconds(15 * MINUTE)},
    ),
    Alert(
        "RedisEvictionPolicyUnsafe",
        Severity.WARNING,
        Subject.CONNECTION,
        "min by (%connection) (bullmq_redis_eviction_safe) == 0",
        "Redis may delete jobs: {{ $labels.connection }}",
        "The maxmemory-policy of {{ $labels.connection }} is not noeviction, so Redis may delete "
        "jobs when its memory is full. Set it to noeviction.",
        REDIS,
        seconds(10 * MINUTE),
    ),
    Alert(
        "RedisMemoryNearLimit",
        Severity.CRITICAL,
        Subject.CONNECTION,
        "max by (%connection) (bullmq_redis_memory_used_bytes / "
        "(bullmq_redis_memory_max_bytes > 0)) > %above_ratio",
        "Redis memory nearly full: {{ $labels.connection }} ({{ $value | humanizePercentage }})",
        "The Redis of {{ $labels.connection }} uses {{ $value | humanizePercentage }} of its "
        "maxmemory. When it is full, it rejects new jobs (with the policy noeviction) or deletes "
        "jobs (with another policy).",
        REDIS,
        seconds(10 * MINUTE),
        {"above_ratio": Setting(0.85)},
    ),
    Alert(
        "WorkerIsolation",
        Severity.CRITICAL,
        Subject.ISOLATION,
        "max by (%isolation) (bullmq_worker_isolation) == 1",
        "Jobs and workers in different Redis databases: {{ $labels.prefix }}:{{ $labels.queue }}",
        "Jobs of {{ $labels.prefix }}:{{ $labels.queue }} wait in the database of "
        "{{ $labels.producer_connection }}, but its workers listen on the database of "
        "{{ $labels.worker_connection }}. These jobs will never be processed; give both services "
        "the same Redis URL.",
        REDIS,
        seconds(2 * MINUTE),
        labels={
            "connection": "{{ $labels.producer_connection }}",
            "connections": _both("producer_connection", "worker_connection"),
        },
    ),
    Alert(
        "SyncTestFailing",
        Severity.CRITICAL,
        Subject.PAIR,
        "min by (%pair) (bullmq_sync_success) == 0 "
        f"unless on (%writer) {_UNREACHABLE.format('writer')} "
        f"unless on (%reader) {_UNREACHABLE.format('reader')} "
        f"unless on (%writer) {_REFUSES_WRITES}",
        "Sync test failing: {{ $labels.writer }} to {{ $labels.reader }}",
        "{{ $labels.reader }} does not see what {{ $labels.writer }} writes: they reach different "
        "Redis databases, or the database is not writable. /health/redis/sync of the exporter "
        "shows the cause. If they are separate on purpose, declare sync.groups.",
        REDIS,
        seconds(2 * MINUTE),
        labels={"connections": _both("writer", "reader")},
    ),
    Alert(
        "QueueBlocked",
        Severity.CRITICAL,
        Subject.QUEUE,
        f"max by (%queue, reason) (bullmq_queue_blocked{{{NOT_INTENDED}}}) == 1",
        f"Queue blocked: {QUEUE_NAME} ({{{{ $labels.reason }}}})",
        f"{QUEUE_NAME} has ready jobs, but none of them starts. Reason: {{{{ $labels.reason }}}}.",
        QUEUE,
        seconds(5 * MINUTE),  # not before NoWorkers and WorkerIsolation, which explain it
    ),
    *SLO_ALERTS,
)
"""In the order of the rules file and of the runbook."""

BY_NAME: Final = {alert.name: alert for alert in ALERTS}


def threshold(alert: str, setting: str) -> float:
    """The default of an alert's setting, for dashboards."""
    return BY_NAME[alert].all_settings()[setting].value
