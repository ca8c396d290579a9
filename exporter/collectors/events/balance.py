"""How the events of a queue change its number of unfinished jobs. Pure.

    unfinished = added - completed - failed - removed unfinished + put back after they had finished

The aggregators count the first three anyway. This file counts the rest, which is rare: nothing is
done for the events of an ordinary job. Three operations of BullMQ remove jobs without saying which:
`clean` (one event with a number), `drain` (none) and `upsertJobScheduler` (none), so the balance
also has what is needed to recognize them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SCHEDULED: Final = b"repeat:"
"""The start of the IDs of jobs that a scheduler adds: `repeat:<scheduler>:<Unix ms>`."""

_UNFINISHED: Final = frozenset(
    {b"wait", b"paused", b"active", b"delayed", b"prioritized", b"waiting-children"}
)
"""`prev` of a `removed` event if the job was unfinished. `unknown` is a job in no list."""
_MAX_SCHEDULERS: Final = 1000
"""Schedulers of a queue that are remembered; of the others, every added job counts as a doubt."""
_MAX_WITNESSES: Final = 50


class Doubts(NamedTuple):
    """What may have changed the number of unfinished jobs by more than the events say."""

    cleaned: int = 0
    """Number of `clean` operations."""
    schedulers: int = 0
    """Jobs added by schedulers, each of which may have replaced one without an event."""
    retries: int = 0
    """Jobs counted as put back, each of which may have been active instead."""


NO_DOUBTS: Final = Doubts()


class Totals(NamedTuple):
    """Sums over all events of a queue up to one of them."""

    net: int = 0
    """By how much the number of unfinished jobs has changed."""
    doubts: Doubts = NO_DOUBTS


class Balance:
    """The rare events of a queue; the aggregators of all its job names share one."""

    __slots__ = (
        "_last",
        "_not_waiting",
        "_uncertain",
        "before",
        "delayed",
        "doubts",
        "forgotten",
        "net",
    )

    def __init__(self) -> None:
        self.net = 0
        self.doubts = NO_DOUBTS
        self.forgotten = 0
        """Number of jobs that may be active without being known."""
        self.before: dict[bytes, bool] = {}
        """Jobs that were active or ready before events were read, and are still; whether active."""
        self.delayed: dict[bytes, int] = {}
        """Some delayed jobs, and since when, in Unix ms."""
        self._last: dict[bytes, bytes] = {}
        """By scheduler, the job that it added last."""
        self._not_waiting: set[bytes] = set()
        """Schedulers of which that job is active, finished or removed."""
        self._uncertain: set[bytes] = set()
        """Schedulers of which an earlier job may be the one that is replaced."""

    def reset(self) -> None:
        """Forget all jobs: the stream is another one."""
        self.forgotten = 0
        self.before.clear()
        self.delayed.clear()
        self._last.clear()
        self._not_waiting.clear()
        self._uncertain.clear()

    def note_cleaned(self) -> None:
        """Jobs were removed by `clean`."""
        self.doubts = self.doubts._replace(cleaned=self.doubts.cleaned + 1)

    def note_delayed(self, job: bytes, at: int) -> None:
        """A job became delayed; `at` is in Unix ms."""
        if len(self.delayed) < _MAX_WITNESSES:
            self.delayed[job] = at

    def note_removed(self, job: bytes, previous: bytes | None) -> None:
        """A job was removed from the state `previous`."""
        if previous in _UNFINISHED:
            self.net -= 1
        self.delayed.pop(job, None)
        self.before.pop(job, None)
        self.note_started(job)

    def note_put_back(self, job: bytes) -> None:
        """A job that was not seen active was put back, according to its event after it had failed
        or completed. Versions 3 and 4 write the same event when an active job is retried."""
        if self.before.pop(job, False):
            return
        if job[:7] == SCHEDULED:
            self.note_irregular(job)
        self.net += 1
        if self.forgotten:
            self.doubts = self.doubts._replace(retries=self.doubts.retries + 1)

    def note_scheduled(self, job: bytes) -> bytes | None:
        """A scheduler added its next job; returns the one before, if it was still waiting.

        That one, or one that is unknown, may have been replaced: `upsertJobScheduler` removes it
        without an event.
        """
        scheduler = job.rpartition(b":")[0]
        before = self._last.get(scheduler)
        started = scheduler in self._not_waiting
        if not started or scheduler in self._uncertain:
            self.doubts = self.doubts._replace(schedulers=self.doubts.schedulers + 1)
        if started:
            self._not_waiting.discard(scheduler)
            before = None
        if before is not None:
            self.delayed.pop(before, None)
        if scheduler in self._last or len(self._last) < _MAX_SCHEDULERS:
            self._last[scheduler] = job
        return before

    def note_started(self, job: bytes) -> None:
        """A scheduler's job was started or removed. If it is an earlier one that is retried, the
        last one is still waiting."""
        scheduler = job.rpartition(b":")[0]
        if self._last.get(scheduler) == job:
            self._not_waiting.add(scheduler)

    def note_waiting(self, job: bytes) -> None:
        """A scheduler's job waits again, ready or delayed."""
        scheduler = job.rpartition(b":")[0]
        if self._last.get(scheduler) == job:
            self._not_waiting.discard(scheduler)

    def note_irregular(self, job: bytes) -> None:
        """A scheduler's job was put back after it had finished, or could not be added because its
        ID exists: from now on, any of the scheduler's jobs may be replaced."""
        if len(self._uncertain) < _MAX_SCHEDULERS:
            self._uncertain.add(job.rpartition(b":")[0])
