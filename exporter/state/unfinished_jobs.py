"""The unfinished jobs of each queue: as counted by one collector, and as audited by another.

A job is unfinished from its `added` event until it completes, fails or is removed, so the events
say how many there must be. Fewer than that means that jobs vanished without an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from exporter.bullmq import Queue


class Rebase(StrEnum):
    """Why the audit of a queue accepted the number of jobs that it found as the right one."""

    CLEAN = "clean"
    """`clean()` removes jobs of any state, and only their number has an event."""
    DRAIN = "drain"
    """`drain()` removes all ready jobs without an event. Deleting all of them by hand, together
    with their hashes, leaves the same: no key or event distinguishes the two."""
    OBLITERATE = "obliterate"
    """`obliterate()` removes all jobs and the event stream. Before Redis 7, trimming by hand the
    stream of a queue without unfinished jobs looks the same."""
    STREAM_DELETED = "stream_deleted"
    """The event stream was deleted or evicted, while jobs remain."""
    LOST_EVENTS = "lost_events"
    """Events were trimmed before they were read."""
    RESTART = "restart"
    """Another exporter, connection or server was read meanwhile, or events were switched off."""
    ROLLBACK = "rollback"
    """The event stream is behind what was read of it: an older copy of the data was restored, or a
    replica that lacked the last writes was promoted."""
    SCHEDULER = "scheduler"
    """`upsertJobScheduler()` may replace the next job of a scheduler without an event."""
    RETRY = "retry"
    """The event of a retry was read as one of a job that had failed for good, or the reverse."""
    SURPLUS = "surplus"
    """There are more jobs than the events say: somebody wrote them without BullMQ."""
    REPORTED = "reported"
    """Vanished jobs were reported for an hour."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit of one queue found."""

    unaccounted: int | None = None
    """Jobs that vanished: neither finished nor removed by BullMQ. None if that is unknown."""
    since: float | None = None
    """Unix time when the last of them were missed; None if there are none."""
    evicted: int | None = 0
    """Keys that the server evicted while they vanished; None if that is unknown."""
    rolled_back: float | None = None
    """Unix time when the last rollback was seen; None if there was none."""
    rebases: Mapping[Rebase, int] = field(default_factory=dict)
    """How often, by reason; reasons that never occurred are missing."""


class UnfinishedJobs:
    """What the collectors of a poll know about unfinished jobs, for the one that audits them.

    A poller's collectors share it; only the poller's thread uses it.
    """

    def __init__(self) -> None:
        self.queues: tuple[Queue, ...] = ()
        """The queues that were counted last: the same object as in their `Context`."""
        self.jobs: Sequence[int | None] = ()
        """The number of unfinished jobs of each queue, counted within some ms; None if unknown."""
        self.after_ms = 0.0
        """Unix ms, by the server's clock, right before they were counted."""
        self.events: Sequence[int | None] = ()
        """The length of each queue's event stream."""
        self.evicted_keys: int | None = None
        """Keys that the server has evicted since its start; 0 if it evicts only keys that expire,
        which no jobs do; None if that is unknown."""
