"""PromQL expressions, limited to what the variables of a dashboard select.

Two exporters that watch the same Redis report every value twice. Gauges therefore take the `max`
over instances; counters are summed within each instance first. Two jobs are two environments, which
may use the same names of connections and queues, so every aggregation keeps the label `job`.
"""

from __future__ import annotations

from typing import Final

from exporter.rules import durations

CHOSEN: Final = 'job=~"$job", instance=~"$instance"'
CONNECTION: Final = f'{CHOSEN}, connection=~"$connection"'
QUEUE: Final = f'{CONNECTION}, prefix=~"$prefix", queue=~"$queue"'
# recorded series have no instance
RULE: Final = 'job=~"$job", connection=~"$connection", prefix=~"$prefix", queue=~"$queue"'

BY_CONNECTION: Final = "job, connection"
BY_QUEUE: Final = f"{BY_CONNECTION}, prefix, queue"
RATE: Final = "$__rate_interval"


def where(scope: str, *more: str) -> str:
    """The selector with the matchers of `scope` and `more`, in braces."""
    return "{" + ", ".join([scope, *more]) + "}"


def gauge(name: str, *more: str, by: str = BY_QUEUE, scope: str = QUEUE) -> str:
    """A gauge: the maximum over instances."""
    return f"max by ({by}) ({name}{where(scope, *more)})"


def rate(name: str, *more: str, by: str = BY_QUEUE, scope: str = QUEUE, window: str = RATE) -> str:
    """A counter's increase per second: the maximum over instances."""
    inner = f"sum by ({by}, instance) (rate({name}{where(scope, *more)}[{window}]))"
    return f"max by ({by}) ({inner})"


def increase(
    name: str, *more: str, by: str = BY_QUEUE, scope: str = QUEUE, window: str = RATE
) -> str:
    """A counter's increase in a window: the maximum over instances."""
    inner = f"sum by ({by}, instance) (increase({name}{where(scope, *more)}[{window}]))"
    return f"max by ({by}) ({inner})"


def per_job(operator: str, expr: str) -> str:
    """An aggregation over everything selected, for each job: `per_job("sum", READY)`."""
    return f"{operator} by (job) ({expr})"


def distribution(histogram: str, *more: str) -> str:
    """A histogram of each job's observations per second."""
    return durations.distribution(histogram, "job", BY_QUEUE, where(QUEUE, *more), RATE)


def quantile(
    q: float, histogram: str, *more: str, by: str = "job", scope: str = QUEUE, window: str = RATE
) -> str:
    """A quantile of a histogram, of the instance where it is largest; without observations it is
    absent, not NaN."""
    return f"{durations.quantile(q, histogram, by, where(scope, *more), window)} >= 0"


def observations(histogram: str, *more: str, by: str = BY_QUEUE) -> str:
    """A histogram's observations per second: the maximum over instances."""
    return durations.per_second(histogram, by, where(QUEUE, *more), RATE)


def top(count: int, expr: str) -> str:
    """Each job's largest series at the end of the range; topk alone would choose at every step."""
    return f"({expr}) and topk by (job) ({count}, last_over_time(({expr})[5m:] @ end()))"


def of_exporters(expr: str) -> str:
    """What every target has, of exporters alone: other targets may have the same job."""
    build_info = f"bullmq_exporter_build_info{where(CHOSEN)}"
    return f"{expr} and on (job, instance) last_over_time({build_info}[1h])"


_READY_STATES = gauge("bullmq_queue_size", 'state=~"waiting|prioritized"', by=f"{BY_QUEUE}, state")
READY: Final = f"sum by ({BY_QUEUE}) ({_READY_STATES})"
"""Jobs that could start now, by queue."""


def jobs(state: str) -> str:
    """Jobs in a state, by queue."""
    return gauge("bullmq_queue_size", f'state="{state}"')


def finished(*more: str, by: str = BY_QUEUE, window: str = RATE) -> str:
    """Jobs completed or failed for good, per second."""
    completed = rate("bullmq_queue_jobs_completed_total", *more, by=by, window=window)
    failed = rate("bullmq_queue_jobs_failed_total", *more, by=by, window=window)
    return f"({completed} + {failed})"


def failure_ratio(window: str = RATE, by: str = BY_QUEUE) -> str:
    """The share of finished jobs that failed for good; absent if none has finished."""
    failed = rate("bullmq_queue_jobs_failed_total", by=by, window=window)
    return f"{failed} / ({finished(by=by, window=window)} > 0)"
