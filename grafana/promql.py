"""Queries over what the variables of a dashboard choose.

Two exporters that watch the same Redis show every number twice, so gauges are taken by `max` over
instances, and counters are summed within an instance before that.
"""

from __future__ import annotations

from typing import Final

CHOSEN: Final = 'job=~"$job", instance=~"$instance"'
CONNECTION: Final = f'{CHOSEN}, connection=~"$connection"'
QUEUE: Final = f'{CONNECTION}, prefix=~"$prefix", queue=~"$queue"'
# what a rule has computed has lost its instance
RULE: Final = 'job=~"$job", connection=~"$connection", prefix=~"$prefix", queue=~"$queue"'

BY_QUEUE: Final = "connection, prefix, queue"
RATE: Final = "$__rate_interval"


def where(scope: str, *more: str) -> str:
    """A selector's braces: the scope and further matchers."""
    return "{" + ", ".join([scope, *more]) + "}"


def gauge(name: str, *more: str, by: str = BY_QUEUE, scope: str = QUEUE) -> str:
    """A gauge, whichever exporter shows it."""
    return f"max by ({by}) ({name}{where(scope, *more)})"


def rate(name: str, *more: str, by: str = BY_QUEUE, scope: str = QUEUE, window: str = RATE) -> str:
    """A counter's growth a second."""
    inner = f"sum by ({by}, instance) (rate({name}{where(scope, *more)}[{window}]))"
    return f"max by ({by}) ({inner})"


def increase(
    name: str, *more: str, by: str = BY_QUEUE, scope: str = QUEUE, window: str = RATE
) -> str:
    """A counter's growth in a window."""
    inner = f"sum by ({by}, instance) (increase({name}{where(scope, *more)}[{window}]))"
    return f"max by ({by}) ({inner})"


def buckets(histogram: str, *more: str, label: str = "", by: str = "", window: str = RATE) -> str:
    """A histogram's buckets a second by `le`, within `by`; `label` is one of its own labels."""
    inner = ", ".join(filter(None, [BY_QUEUE, label]))
    own = f"rate({histogram}_bucket{where(QUEUE, *more)}[{window}])"
    once = f"max by ({inner}, le) (sum by ({inner}, instance, le) ({own}))"
    return f"sum by ({', '.join(filter(None, [by, 'le']))}) ({once})"


def quantile(q: float, histogram: str, *more: str, label: str = "", by: str = "") -> str:
    """A quantile of a histogram's observations; absent, and not NaN, where there are none."""
    return f"histogram_quantile({q:g}, {buckets(histogram, *more, label=label, by=by)}) >= 0"


def top(count: int, expr: str) -> str:
    """The series that are largest at the end of the range: plain topk changes them on the way."""
    return f"({expr}) and topk({count}, last_over_time(({expr})[5m:] @ end()))"


_READY_STATES = gauge("bullmq_queue_jobs", 'state=~"waiting|prioritized"', by=f"{BY_QUEUE}, state")
READY: Final = f"sum by ({BY_QUEUE}) ({_READY_STATES})"
"""Jobs that could start now."""


def jobs(state: str) -> str:
    """Jobs of the queues in a state."""
    return gauge("bullmq_queue_jobs", f'state="{state}"')


def finished(*more: str, by: str = BY_QUEUE, window: str = RATE) -> str:
    """Jobs completed or failed for good, a second."""
    completed = rate("bullmq_jobs_completed_total", *more, by=by, window=window)
    failed = rate("bullmq_jobs_failed_total", *more, by=by, window=window)
    return f"({completed} + {failed})"


def failure_ratio(window: str = RATE, by: str = BY_QUEUE) -> str:
    """The share of the finished jobs that failed for good; absent where none has finished."""
    failed = rate("bullmq_jobs_failed_total", by=by, window=window)
    return f"{failed} / ({finished(by=by, window=window)} > 0)"
