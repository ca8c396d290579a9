"""Recording rules for expressions that alerts and dashboards share.

Two exporters of the same Redis expose the same values, so `max` over instances comes before sums.
"""

from __future__ import annotations

from typing import Final

from exporter.rules.model import Recording
from exporter.rules.slos import SLO_RECORDINGS

READY: Final = "queue:bullmq_queue_ready:max"
KEPT: Final = "queue:bullmq_queue_kept:max"
WAIT_P95: Final = "queue:bullmq_queue_job_wait_seconds:p95_5m"
RUN_P95: Final = "queue:bullmq_queue_job_run_seconds:p95_5m"


def _p95(histogram: str) -> str:
    rates = f"sum by (%queue, instance, le) (rate({histogram}_bucket[5m]))"
    return f"histogram_quantile(0.95, max by (%queue, le) ({rates}))"


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
    Recording(WAIT_P95, _p95("bullmq_queue_job_wait_seconds")),
    Recording(RUN_P95, _p95("bullmq_queue_job_run_seconds")),
    *SLO_RECORDINGS,
)
