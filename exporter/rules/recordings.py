"""Recording rules for expressions that alerts and dashboards share.

Two exporters of the same Redis expose the same values, so `max` over instances comes before sums.
"""

from __future__ import annotations

from typing import Final

from exporter.rules import durations
from exporter.rules.model import Recording
from exporter.rules.slos import SLO_RECORDINGS

READY: Final = "queue:bullmq_queue_ready:max"
KEPT: Final = "queue:bullmq_queue_kept:max"
WAIT_P95: Final = "queue:bullmq_queue_job_wait_seconds:p95_5m"
RUN_P95: Final = "queue:bullmq_queue_job_run_seconds:p95_5m"


RECORDINGS: Final = (
    Recording(
        READY,
        "sum by (%queue) "
        '(max by (%queue, state) (bullmq_queue_size{state=~"waiting|prioritized"}))',
    ),
    Recording(
        KEPT,
        'sum by (%queue) (max by (%queue, state) (bullmq_queue_size{state=~"completed|failed"}))',
    ),
    Recording(WAIT_P95, durations.quantile(0.95, "bullmq_queue_job_wait_seconds", "%queue")),
    Recording(RUN_P95, durations.quantile(0.95, "bullmq_queue_job_run_seconds", "%queue")),
    *SLO_RECORDINGS,
)
