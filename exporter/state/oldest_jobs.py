"""The ages of the oldest jobs, for the collector that judges the queues by their SLOs."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.bullmq import Queue


class OldestJobs:
    """The ages that the queue collector found last, by row.

    A poller's collectors share it; only the poller's thread uses it.
    """

    def __init__(self) -> None:
        self.at = float("-inf")
        """Monotonic time of the run that found them."""
        self.queues: tuple[Queue, ...] = ()
        """The queues that exist: the same object until the set of queues changes."""
        self.waiting: Sequence[float | None] = ()
        """Seconds for which the oldest job is ready; 0 if none is, None if that is unknown."""
        self.overdue: Sequence[float | None] = ()
        """Seconds since when the first delayed job is due; 0 if none is, None if unknown."""
        self.active: Sequence[float | None] = ()
        """Seconds for which the oldest job runs; 0 if none does, None if that is unknown."""
