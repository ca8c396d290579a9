"""Since when a job is ready, from its hash and from the events of its queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporter.bullmq import (
    CLOCK_TOLERANCE_MS,
    JOB_TIMES,
    Queue,
    clock_skew_ms,
    ready_since_ms,
    time_ms,
)
from exporter.collectors.queues.poll import BatchPoll
from exporter.connection import Command, Reply

JOB: Final = Command("HMGET", "", JOB_TIMES, list, "ages of jobs")
"""Sent with the key of a job; its reply is the job's times."""


def readiness(
    poll: BatchPoll, queue: Queue, job: bytes, times: Sequence[Reply]
) -> tuple[float | None, float]:
    """Since when the job is ready, in Unix ms, and how far its producer's clock is ahead, in ms.

    The former is None if it is unknown; the latter is 0 if the clocks do not differ, or if that is
    unknown.
    """
    events = poll.times.by_queue.get(queue)
    waiting = None if events is None else events.waiting_since_ms(job)
    put_back = events is not None and events.was_put_back(job)
    skew = clock_skew_ms(job, times, waiting)
    if skew is None:
        ahead = (time_ms(times[0]) or 0.0) - poll.now_ms
        if ahead > CLOCK_TOLERANCE_MS:
            return None, ahead  # at least that; since when it is ready is unknown
    return ready_since_ms(job, times, waiting, skew=skew, put_back=put_back), skew or 0.0
