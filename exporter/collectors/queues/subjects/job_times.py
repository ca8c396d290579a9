"""Since when a job is ready, from its hash and from the events of its queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporter.bullmq import (
    CLOCK_TOLERANCE_MS,
    JOB_TIMES,
    added_ms,
    clock_skew_ms,
    ready_since_ms,
    skew_ms,
    time_ms,
)
from exporter.connection import Command, Reply
from exporter.state.event_times import JobTimes

JOB: Final = Command("HMGET", "", JOB_TIMES, list, "ages of jobs")
"""Sent with the key of a job; its reply is the job's times."""


def readiness(
    events: JobTimes | None, job: bytes, times: Sequence[Reply], now_ms: float
) -> tuple[float | None, float]:
    """Since when the job is ready, in Unix ms, and how far its producer's clock is ahead, in ms.

    The former is None if it is unknown; the latter is 0 if the clocks do not differ, or if that is
    unknown. `events` are what the events of its queue have shown; `now_ms` is the server's time.
    """
    waiting, put_back = (None, False) if events is None else events.ready_since_ms(job)
    added = None if put_back else added_ms(job, times)
    if added is not None:  # most jobs, and in a busy queue all jobs are read again at each poll
        created, skew = added, None if waiting is None else skew_ms(added, waiting)
    else:
        created, skew = time_ms(times[0]) or 0.0, clock_skew_ms(job, times, waiting)
    if skew is None and created - now_ms > CLOCK_TOLERANCE_MS:
        return None, created - now_ms  # at least that; since when it is ready is unknown
    if added is not None:
        return waiting if skew else added, skew or 0.0
    return ready_since_ms(job, times, waiting, skew=skew, put_back=put_back), skew or 0.0
