"""Words and colours for numbers, the same on every dashboard."""

from __future__ import annotations

from typing import Final

from exporter.rules import threshold
from grafana.panels import GREEN, RED, YELLOW, Steps

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
ANY_IS_BAD: Final[Steps] = ((None, GREEN), (1, RED))
ANY_IS_ODD: Final[Steps] = ((None, GREEN), (1, YELLOW))

REACHED: Final = {"1": ("reached", GREEN), "0": ("NOT REACHED", RED)}
SEES: Final = {"1": ("sees it", GREEN), "0": ("DOES NOT", RED)}
PASSED: Final = {"1": ("passed", GREEN), "0": ("FAILED", RED)}
UP: Final = {"1": ("up", GREEN), "0": ("DOWN", RED)}
IN_FORCE: Final = {"1": ("as in its file", GREEN), "0": ("REFUSED", RED)}
PAUSED: Final = {"1": ("paused", YELLOW), "0": ("running", GREEN)}
PAUSED_SHORT: Final = {"1": ("paused", YELLOW), "0": ("-", "text")}
SAFE: Final = {"1": ("noeviction", GREEN), "0": ("MAY DELETE JOBS", RED)}
WRITES: Final = {"1": ("last write ok", GREEN), "0": ("LAST WRITE FAILED", RED)}
SEVERITY: Final = {
    "critical": ("critical", RED),
    "warning": ("warning", YELLOW),
    "info": ("info", "blue"),
}
REASONS: Final = {
    "paused": ("the queue is paused", YELLOW),
    "rate_limited": ("its rate limit is used up", YELLOW),
    "concurrency_limit": ("as many jobs run as it may have", YELLOW),
    "worker_isolated": ("its workers are on another Redis", RED),
    "no_workers": ("no worker is connected", RED),
    "workers_idle": ("workers are connected and start nothing", RED),
    "redis_readonly": ("this Redis can't be written", RED),
}
