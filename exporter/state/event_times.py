"""Times of jobs from the event streams, for the other collectors of the same connection.

The hash of a job loses times: `retry` deletes those of its attempts, and a job with the same ID may
be another one. The events have them all. A poller's collectors share one `EventTimes`, which only
the poller's thread uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Protocol

from exporter.bullmq import Queue
from exporter.state.event_suspects import EventSuspects


class JobTimes(Protocol):
    """Times of one queue's jobs, as of the last pass over the streams; Unix ms by the server."""

    @property
    def all_seen(self) -> bool:
        """Whether the queue keeps events: then nothing happens to a job without one."""
        ...

    @property
    def events_read(self) -> int:
        """Number of events read; the times change only with it."""
        ...

    @property
    def last_start_ms(self) -> int:
        """When a job was last started; 0 if none was seen."""
        ...

    def ready_since_ms(self, job: bytes) -> tuple[int | None, bool]:
        """Since when this job is ready, None if that was not seen; and whether it is ready because
        it was put back after it had finished."""
        ...

    def active_since_ms(self, job: bytes) -> int | None:
        """When the job was started, in Unix ms; None if it is not active, or that was not seen."""
        ...


class EventTimes:
    """The times of all queues whose streams are read."""

    def __init__(self) -> None:
        self.by_queue: Mapping[Queue, JobTimes] = {}
        """The same object while the queues are the same."""
        self.suspects: Mapping[Queue, EventSuspects] = {}
        """Of queues that had suspicious events; replaced by the events collector."""
        self.passes = 0
        """Number of passes over the streams that have begun."""
        self.changed: Set[bytes] | None = frozenset()
        """The keys of the queues whose `events_read` or `all_seen` may have changed in the last
        pass; None if the pass did not end, so that it may be any."""

    def begin_pass(self) -> None:
        """A pass begins, in which anything may change."""
        self.passes, self.changed = self.passes + 1, None

    def end_pass(self, by_queue: Mapping[Queue, JobTimes], changed: Set[bytes]) -> None:
        """The pass has ended, and only these queues have changed."""
        self.by_queue, self.changed = by_queue, changed
