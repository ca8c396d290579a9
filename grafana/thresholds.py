"""Value mappings and thresholds, the same on every dashboard."""

from __future__ import annotations

from typing import Final

from exporter.rules import threshold
from grafana.panels import BLUE, GREEN, GREY, RED, YELLOW, Steps

LATE_SECONDS: Final = threshold("JobsWaitingTooLong", "above_seconds")
STALE_SECONDS: Final = threshold("CollectionStale", "above_seconds")
HIGH_RATIO: Final = threshold("HighFailureRatio", "above_ratio")
VERY_HIGH_RATIO: Final = threshold("VeryHighFailureRatio", "above_ratio")
FEW_FAILURES: Final = threshold("HighFailureRatio", "above_jobs")
OVERDUE_SECONDS: Final = threshold("DelayedJobsOverdue", "above_seconds")
SCHEDULER_OVERDUE_SECONDS: Final = threshold("SchedulerOverdue", "above_seconds")
LONG_SECONDS: Final = threshold("ActiveJobTooLong", "above_seconds")
FULL_RATIO: Final = threshold("RedisMemoryNearLimit", "above_ratio")

LATE: Final[Steps] = ((None, GREEN), (LATE_SECONDS / 5, YELLOW), (LATE_SECONDS, RED))
STALE: Final[Steps] = ((None, GREEN), (STALE_SECONDS / 6, YELLOW), (STALE_SECONDS, RED))
RATIO: Final[Steps] = ((None, GREEN), (HIGH_RATIO, YELLOW), (VERY_HIGH_RATIO, RED))
ANY_IS_CRITICAL: Final[Steps] = ((None, GREEN), (1, RED))
ANY_IS_WARNING: Final[Steps] = ((None, GREEN), (1, YELLOW))

REACHABLE: Final = {"1": ("reachable", GREEN), "0": ("UNREACHABLE", RED)}
PASSED: Final = {"1": ("passed", GREEN), "0": ("FAILED", RED)}
UP: Final = {"1": ("up", GREEN), "0": ("DOWN", RED)}
RELOADED: Final = {"1": ("loaded", GREEN), "0": ("RELOAD FAILED", RED)}
PAUSED: Final = {"1": ("paused", YELLOW), "0": ("running", GREEN)}
PAUSED_SHORT: Final = {"1": ("paused", YELLOW), "0": ("-", "text")}
SAFE: Final = {"1": ("noeviction", GREEN), "0": ("MAY DELETE JOBS", RED)}
WRITABLE: Final = {"0": ("accepted", GREEN), "1": ("REFUSED", RED)}
PERSISTED: Final = {"1": ("last write ok", GREEN), "0": ("LAST WRITE FAILED", RED)}
SEVERITY: Final = {
    "1": ("critical", RED),
    "2": ("warning", YELLOW),
    "3": ("info", BLUE),
    "4": ("other", GREY),
}
REASONS: Final = {
    "paused": ("the queue is paused", YELLOW),
    "writes_refused": ("this Redis refuses writes", RED),
    "redis_readonly": ("this Redis is read-only", RED),
    "worker_isolated": ("its workers use another Redis database", RED),
    "no_workers": ("no worker is connected", RED),
    "left_in_paused": ("jobs are left in the paused list", RED),
    "rate_limited": ("the rate limit is used up", YELLOW),
    "concurrency_limit": ("the concurrency limit is reached", YELLOW),
    "workers_idle": ("workers are connected but idle", RED),
}
