"""The alerts, and with them every threshold: dashboards colour their panels by the same numbers.

Queues are told apart by job, connection, prefix and queue, and never by instance: two exporters
that watch the same Redis are one alert. %queue, %connection, %pair and %isolation stand for those
label lists.
"""

from __future__ import annotations

from typing import Final

from exporter.rules.model import Alert, Setting, Severity, seconds
from exporter.rules.recordings import READY

OVERVIEW, QUEUE, REDIS, EXPORTER = (
    "bullmq-overview",
    "bullmq-queue",
    "bullmq-redis",
    "bullmq-exporter",
)

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
_TEN_MINUTES: Final = seconds(10 * MINUTE)

_NOT_PAUSED = "unless on (%queue) (max by (%queue) (bullmq_queue_paused) == 1)"


def _counted(*counters: str) -> str:
    """The increase of these counters in a queue, by the exporter that saw most of it."""
    summed = " + ".join(
        f"sum by (%queue, instance) (increase({name}[%window]))" for name in counters
    )
    return f"max by (%queue) ({summed})"


_FAILED = _counted("bullmq_jobs_failed_total")
_FINISHED = _counted("bullmq_jobs_completed_total", "bullmq_jobs_failed_total")
_RATIO = f"{_FAILED} / ({_FINISHED} > 0) > %above_ratio and on (%queue) {_FAILED} > %above_jobs"
_UNREACHABLE = (
    'label_replace(max by (%connection) (bullmq_up) == 0, "{0}", "$1", "connection", "(.*)")'
)

_OF_QUEUE = "{{ $labels.prefix }}:{{ $labels.queue }} on {{ $labels.connection }}"

ALERTS: Final = (
    Alert(
        "ExporterDown",
        Severity.CRITICAL,
        "up == 0 and on (job, instance) last_over_time(bullmq_exporter_build_info[%window])",
        "The exporter {{ $labels.instance }} does not answer",
        "Prometheus can't scrape {{ $labels.instance }} ({{ $labels.job }}), which was a BullMQ "
        "exporter within the last hours. Nothing is known of its queues.",
        EXPORTER,
        seconds(5 * MINUTE),
        {"window": seconds(6 * HOUR)},
    ),
    Alert(
        "ExporterAbsent",
        Severity.CRITICAL,
        "absent(bullmq_exporter_build_info)",
        "No BullMQ exporter is scraped",
        "Prometheus has no BullMQ exporter at all: every other BullMQ alert is blind.",
        EXPORTER,
        seconds(10 * MINUTE),
    ),
    Alert(
        "ConfigReloadFailed",
        Severity.WARNING,
        "bullmq_exporter_config_last_reload_successful == 0",
        "The exporter {{ $labels.instance }} refused its new configuration",
        "{{ $labels.instance }} ({{ $labels.job }}) goes on with the configuration before, and "
        "would not start with the new one. Its log names each mistake.",
        EXPORTER,
        seconds(5 * MINUTE),
    ),
    Alert(
        "RedisUnreachable",
        Severity.CRITICAL,
        "max by (%connection) (bullmq_up) == 0",
        "Redis of {{ $labels.connection }} is not reached",
        "The exporter runs and the Redis of connection {{ $labels.connection }} does not answer "
        "it. Its jobs have likely stopped as well.",
        REDIS,
        seconds(2 * MINUTE),
    ),
    Alert(
        "CollectionStale",
        Severity.WARNING,
        # discovery keeps an interval of its own, which may be long
        "time() - max by (%connection, collector) "
        '(bullmq_exporter_collector_last_success_timestamp_seconds{collector!="discovery"}) '
        "> %above_seconds",
        "Old numbers: {{ $labels.collector }} of {{ $labels.connection }}",
        "The collector {{ $labels.collector }} of connection {{ $labels.connection }} last worked "
        "{{ $value | humanizeDuration }} ago; its samples are withdrawn.",
        EXPORTER,
        seconds(2 * MINUTE),
        {"above_seconds": seconds(180)},
    ),
    Alert(
        "CollectionErrors",
        Severity.WARNING,
        "max by (%connection, collector, error) "
        "(rate(bullmq_exporter_collector_errors_total[%window])) > 0",
        "{{ $labels.collector }} of {{ $labels.connection }} fails: {{ $labels.error }}",
        "The collector {{ $labels.collector }} of connection {{ $labels.connection }} meets "
        "{{ $labels.error }} errors again and again: a part of the data is missing. The text is "
        "in the exporter's log.",
        EXPORTER,
        seconds(15 * MINUTE),
        {"window": seconds(10 * MINUTE)},
    ),
    Alert(
        "EventGap",
        Severity.INFO,
        "max by (%queue) (increase(bullmq_events_lost_total[%window])) > 0",
        f"Events of {_OF_QUEUE} were lost",
        f"About {{{{ $value | humanize }}}} events of {_OF_QUEUE} were trimmed from their stream "
        "before they were read: counters and durations of that time are too low.",
        REDIS,
        seconds(0),
        {"window": seconds(15 * MINUTE)},
    ),
    Alert(
        "JobsWaitingTooLong",
        Severity.WARNING,
        f"max by (%queue) (bullmq_queue_oldest_waiting_seconds) > %above_seconds {_NOT_PAUSED}",
        f"Jobs of {_OF_QUEUE} wait {{{{ $value | humanizeDuration }}}}",
        f"The oldest ready job of {_OF_QUEUE} has waited {{{{ $value | humanizeDuration }}}}.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_seconds": seconds(300)},
    ),
    Alert(
        "JobsWaitingFarTooLong",
        Severity.CRITICAL,
        f"max by (%queue) (bullmq_queue_oldest_waiting_seconds) > %above_seconds {_NOT_PAUSED}",
        f"Jobs of {_OF_QUEUE} wait {{{{ $value | humanizeDuration }}}}: as good as an outage",
        f"The oldest ready job of {_OF_QUEUE} has waited {{{{ $value | humanizeDuration }}}}.",
        QUEUE,
        seconds(10 * MINUTE),
        {"above_seconds": seconds(HOUR)},
    ),
    Alert(
        "QueueNotDraining",
        Severity.CRITICAL,
        f"{READY} > 0 and on (%queue) {_FINISHED} == 0 {_NOT_PAUSED}",
        f"Nothing finishes in {_OF_QUEUE}",
        f"{{{{ $value }}}} jobs of {_OF_QUEUE} are ready, and for a while not one has finished: "
        "its workers hang or are gone.",
        QUEUE,
        seconds(10 * MINUTE),
        {"window": seconds(15 * MINUTE)},
    ),
    Alert(
        "BacklogGrowing",
        Severity.WARNING,
        f"{READY} > %above_jobs and on (%queue) deriv({READY}[%window]) > 0 {_NOT_PAUSED}",
        f"The backlog of {_OF_QUEUE} grows",
        f"{{{{ $value | humanize }}}} jobs of {_OF_QUEUE} are ready, and there are more and more: "
        "more is added than its workers can do.",
        QUEUE,
        seconds(30 * MINUTE),
        {"above_jobs": Setting(1000), "window": seconds(30 * MINUTE)},
    ),
    Alert(
        "NoWorkers",
        Severity.CRITICAL,
        "max by (%queue) (bullmq_queue_workers) == 0 and on (%queue) sum by (%queue) "
        '(max by (%queue, state) (bullmq_queue_jobs{state=~"waiting|prioritized|active"})) > 0 '
        f"{_NOT_PAUSED}",
        f"Nobody works on {_OF_QUEUE}",
        f"{_OF_QUEUE} has work, and no worker is connected to that Redis for it.",
        QUEUE,
        seconds(5 * MINUTE),
    ),
    Alert(
        "QueuePausedTooLong",
        Severity.INFO,
        "max by (%queue) (bullmq_queue_paused) == 1",
        f"{_OF_QUEUE} is still paused",
        f"{_OF_QUEUE} has been paused for long; somebody may have forgotten it.",
        QUEUE,
        seconds(HOUR),
    ),
    Alert(
        "HighFailureRatio",
        Severity.WARNING,
        _RATIO,
        f"{{{{ $value | humanizePercentage }}}} of the jobs of {_OF_QUEUE} fail",
        f"{{{{ $value | humanizePercentage }}}} of the finished jobs of {_OF_QUEUE} "
        "have failed for good, after all their attempts.",
        QUEUE,
        seconds(10 * MINUTE),
        {"above_ratio": Setting(0.05), "above_jobs": Setting(5), "window": _TEN_MINUTES},
    ),
    Alert(
        "VeryHighFailureRatio",
        Severity.CRITICAL,
        _RATIO,
        f"{{{{ $value | humanizePercentage }}}} of the jobs of {_OF_QUEUE} fail: most work is lost",
        f"{{{{ $value | humanizePercentage }}}} of the finished jobs of {_OF_QUEUE} "
        "have failed for good, after all their attempts.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_ratio": Setting(0.5), "above_jobs": Setting(20), "window": _TEN_MINUTES},
    ),
    Alert(
        "JobsStalled",
        Severity.WARNING,
        f"{_counted('bullmq_jobs_stalled_total')} > %above_jobs",
        f"Jobs of {_OF_QUEUE} stall",
        f"About {{{{ $value | humanize }}}} jobs of {_OF_QUEUE} were taken from workers that did "
        "not renew their locks: workers crash, or block their event loop.",
        QUEUE,
        seconds(0),
        {"above_jobs": Setting(3), "window": seconds(15 * MINUTE)},
    ),
    Alert(
        "DelayedJobsOverdue",
        Severity.WARNING,
        f"max by (%queue) (bullmq_queue_delayed_overdue_seconds) > %above_seconds {_NOT_PAUSED}",
        f"Delayed jobs of {_OF_QUEUE} are {{{{ $value | humanizeDuration }}}} late",
        f"A delayed job of {_OF_QUEUE} was due {{{{ $value | humanizeDuration }}}} ago and no "
        "worker has promoted it.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_seconds": seconds(120)},
    ),
    Alert(
        "SchedulerOverdue",
        Severity.WARNING,
        f"max by (%queue) (bullmq_queue_schedulers_overdue_seconds) > %above_seconds {_NOT_PAUSED}",
        f"A scheduler of {_OF_QUEUE} has missed its turn",
        f"A job scheduler of {_OF_QUEUE} was due {{{{ $value | humanizeDuration }}}} ago: a "
        "repeating job does not repeat.",
        QUEUE,
        seconds(5 * MINUTE),
        {"above_seconds": seconds(300)},
    ),
    Alert(
        "ActiveJobTooLong",
        Severity.WARNING,
        "max by (%queue) (bullmq_queue_oldest_active_seconds) > %above_seconds",
        f"A job of {_OF_QUEUE} has run for {{{{ $value | humanizeDuration }}}}",
        f"The longest-running job of {_OF_QUEUE} was started {{{{ $value | humanizeDuration }}}} "
        "ago: it is stuck, or has no timeout.",
        QUEUE,
        seconds(10 * MINUTE),
        {"above_seconds": seconds(HOUR)},
    ),
    Alert(
        "RedisEvictionPolicyUnsafe",
        Severity.WARNING,
        "min by (%connection) (bullmq_redis_eviction_safe) == 0",
        "Redis of {{ $labels.connection }} may delete jobs",
        "The maxmemory-policy of {{ $labels.connection }} is not noeviction: Redis may delete "
        "jobs when its memory is full.",
        REDIS,
        seconds(10 * MINUTE),
    ),
    Alert(
        "RedisMemoryNearLimit",
        Severity.CRITICAL,
        "max by (%connection) (bullmq_redis_memory_used_bytes / "
        "(bullmq_redis_memory_max_bytes > 0)) > %above_ratio",
        "Redis of {{ $labels.connection }} is {{ $value | humanizePercentage }} full",
        "Redis of {{ $labels.connection }} has used {{ $value | humanizePercentage }} of its "
        "maxmemory. When it is full, it refuses new jobs or, with another policy than "
        "noeviction, deletes some.",
        REDIS,
        seconds(10 * MINUTE),
        {"above_ratio": Setting(0.85)},
    ),
    Alert(
        "WorkerIsolation",
        Severity.CRITICAL,
        "max by (%isolation) (bullmq_worker_isolation) == 1",
        "Jobs and workers of {{ $labels.queue }} are in different Redis databases",
        "Jobs of {{ $labels.prefix }}:{{ $labels.queue }} wait in the database of "
        "{{ $labels.producer_connection }}, and its workers listen in that of "
        "{{ $labels.worker_connection }}: they will never meet.",
        REDIS,
        seconds(2 * MINUTE),
    ),
    Alert(
        "SyncTestFailing",
        Severity.CRITICAL,
        "min by (%pair) (bullmq_sync_success) == 0 "
        f"unless on (%writer) {_UNREACHABLE.format('writer')} "
        f"unless on (%reader) {_UNREACHABLE.format('reader')}",
        "{{ $labels.reader }} does not see what {{ $labels.writer }} writes",
        "The sync test from {{ $labels.writer }} to {{ $labels.reader }} fails: they do not reach "
        "the same Redis database, or it can't be written. /health/redis/sync of the exporter "
        "says which.",
        REDIS,
        seconds(2 * MINUTE),
    ),
    Alert(
        "QueueBlocked",
        Severity.CRITICAL,
        "max by (%queue, reason) "
        '(bullmq_queue_blocked{reason!~"paused|rate_limited|concurrency_limit"}) == 1',
        f"{_OF_QUEUE} does not move: {{{{ $labels.reason }}}}",
        f"{_OF_QUEUE} has ready jobs and none is started, because of {{{{ $labels.reason }}}}.",
        QUEUE,
        seconds(2 * MINUTE),
    ),
)
"""In the order of the rules file and of the runbook."""

BY_NAME: Final = {alert.name: alert for alert in ALERTS}


def threshold(alert: str, setting: str) -> float:
    """A default that dashboards draw."""
    return BY_NAME[alert].all_settings()[setting].value
