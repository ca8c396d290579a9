"""The condition of each alert, or the reason why there is none. Checked when it is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporter import diagnosis
from exporter.findings import exporter, queues, redis
from exporter.findings.model import Condition
from exporter.rules import alerts
from exporter.rules.alerts import ALERTS
from exporter.rules.model import Subject

CONDITIONS: Final[Mapping[str, Condition]] = {
    "PageNotRendered": exporter.page_not_rendered,
    "ConfigReloadFailed": exporter.config_reload_failed,
    "RedisUnreachable": redis.redis_unreachable,
    "CollectionStale": exporter.collection_stale,
    "CollectionErrors": exporter.collection_errors,
    "DiscoveryRefused": exporter.discovery_refused,
    "CommandsRefused": exporter.commands_refused,
    "NoQueuesFound": exporter.no_queues_found,
    "QueuesDropped": exporter.queues_dropped,
    "EventGap": queues.event_gap,
    "EventsLagging": exporter.events_lagging,
    "JobsWaitingTooLong": queues.jobs_waiting,
    "JobsWaitingFarTooLong": queues.jobs_waiting,
    "QueueNotDraining": queues.queue_not_draining,
    "BacklogGrowing": queues.backlog_growing,
    "KeptJobsFillMemory": queues.kept_jobs_fill_memory,
    "NoWorkers": queues.no_workers,
    "StuckJobs": queues.stuck_jobs,
    "JobsVanished": queues.jobs_vanished,
    "QueuePausedTooLong": queues.queue_paused,
    "QueueSilent": queues.queue_silent,
    "HighFailureRatio": queues.failure_ratio,
    "VeryHighFailureRatio": queues.very_high_failure_ratio,
    "JobsStalled": queues.jobs_stalled,
    "MostJobsDuplicated": queues.most_jobs_duplicated,
    "DelayedJobsOverdue": queues.delayed_overdue,
    "SchedulerOverdue": queues.scheduler_overdue,
    "ActiveJobTooLong": queues.active_job_too_long,
    "RedisWritesRefused": redis.writes_refused,
    "RedisPersistenceFailing": redis.persistence_failing,
    "RedisEvictionPolicyUnsafe": redis.eviction_policy_unsafe,
    "RedisKeysEvicted": redis.keys_evicted,
    "RedisMemoryNearLimit": redis.memory_near_limit,
    "RedisReplicaLinkDown": redis.replica_link_down,
    "RedisClientsNearLimit": redis.clients_near_limit,
    "RedisClientsRejected": redis.clients_rejected,
    "WorkerIsolation": queues.worker_isolation,
    "SyncTestFailing": redis.sync_test_failing,
    "QueueBlocked": queues.queue_blocked,
}

NO_CONDITION: Final[Mapping[str, str]] = {
    "ExporterDown": "an exporter that is down cannot say so; the page's script does",
    "ExporterAbsent": "as ExporterDown",
    "ErrorBudgetBurnsFast": "it looks back for hours, and the exporter for half an hour",
    "ErrorBudgetBurns": "as ErrorBudgetBurnsFast",
    "ErrorBudgetBurnsSlowly": "as ErrorBudgetBurnsFast",
}
"""Alerts that only Prometheus can evaluate, with the reason."""

_ABOUT_A_REDIS: Final = frozenset(
    alert.name
    for alert in ALERTS
    if alert.subject in {Subject.CONNECTION, Subject.QUEUE, Subject.SLO}
)

_NOTHING_MOVES: Final = frozenset(
    {"JobsWaitingTooLong", "JobsWaitingFarTooLong", "QueueNotDraining", "BacklogGrowing"}
    | {"DelayedJobsOverdue", "SchedulerOverdue"}
)
"""What follows when no job of a queue is started."""

CAUSES: Final[Mapping[str, frozenset[str]]] = {
    "RedisUnreachable": _ABOUT_A_REDIS - {"RedisUnreachable"} | {"SyncTestFailing"},
    "DiscoveryRefused": frozenset({"NoQueuesFound"}),
    "RedisWritesRefused": _NOTHING_MOVES
    | {"RedisPersistenceFailing", "RedisMemoryNearLimit", "SyncTestFailing"}
    | {"QueueBlocked", "QueueSilent"},
    "EventsLagging": frozenset({"QueueSilent"}),
    "MostJobsDuplicated": frozenset({"QueueSilent"}),
    "WorkerIsolation": _NOTHING_MOVES | {"NoWorkers", "QueueBlocked", "SyncTestFailing"},
    "NoWorkers": _NOTHING_MOVES | {"QueueBlocked", "ActiveJobTooLong"},
    "QueueBlocked": _NOTHING_MOVES,
    "VeryHighFailureRatio": frozenset({"HighFailureRatio"}),
    "JobsWaitingFarTooLong": frozenset({"JobsWaitingTooLong"}),
    "ErrorBudgetBurnsFast": frozenset({"ErrorBudgetBurns", "ErrorBudgetBurnsSlowly"}),
    "ErrorBudgetBurns": frozenset({"ErrorBudgetBurnsSlowly"}),
}
"""What an alert explains, if it is about the same queue or connection. Alertmanager's inhibition
rules are generated from it.
"""


def _check() -> None:
    names = {alert.name for alert in ALERTS}
    known = CONDITIONS.keys() | NO_CONDITION.keys()
    if missing := names - known:
        raise ValueError(f"in neither CONDITIONS nor NO_CONDITION: {', '.join(sorted(missing))}")
    if unknown := known - names:
        raise ValueError(f"no alert in exporter/rules/alerts.py: {', '.join(sorted(unknown))}")
    if set(alerts.INTENDED) != diagnosis.INTENDED:
        raise ValueError("alerts and diagnosis differ in what is intended")


_check()
