"""Audits the unfinished jobs of all queues: which to count, and whether `drain` removed jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context
from exporter.collectors.events.balance import SCHEDULED, Doubts
from exporter.collectors.events.ledger import Ledger
from exporter.collectors.events.streams import Stream, id_ms
from exporter.connection import Command, ReplyError
from exporter.state.unfinished_jobs import UnfinishedJobs

JOB_EXISTS: Final = Command(
    "EXISTS", cost="the distinction of vanished jobs from those that `drain` removed"
)
"""Sent with the key of a job."""

_MAX_COUNTED: Final = 1000
"""Idle queues that are counted in a pass, as all are in the first ones."""
_MAX_KNOWN: Final = 100
"""Jobs of each end that are looked at to recognize `drain`."""

_Expected = tuple[Ledger, tuple[int, int | None, int, int | None, int, Doubts]]
"""A ledger and what it is to agree to: the arguments of `Ledger.agree`."""


class Auditor:
    """Decides which queues to count, besides those that have new events."""

    def __init__(self) -> None:
        self._agreed: tuple[Sequence[int | None], Sequence[int | None]] = ((), ())
        """The counts of the last poll, if all were as expected."""
        self._as_expected: list[_Expected] = []
        """Of streams with new events."""
        self._reported: dict[Queue, Stream] = {}
        """Queues of which vanished jobs are reported."""

    def to_count(
        self, context: Context, streams: Sequence[Stream], updated: Mapping[bytes, Stream]
    ) -> list[Stream]:
        """Streams of whose queue the jobs must be counted at the end of the stream.

        `streams` are those of the context's queues, in order; `updated` are those with new events,
        by key. Those of which the queue collector has found what is expected need no count: see
        `note_expected`.
        """
        known, self._as_expected = context.unfinished, []
        if known.queues is not context.queues:
            return list(updated.values())
        if not updated and (known.jobs, known.events) == self._agreed:
            return []
        found, idle, as_expected = [], [], self._as_expected
        for stream, jobs, events in zip(streams, known.jobs, known.events, strict=True):
            if stream.key in updated:
                expected = _expected(known, stream, jobs, events)
                if expected is None:
                    found.append(stream)
                else:
                    as_expected.append(expected)
            elif jobs is not None and _is_due(stream, jobs, events):
                idle.append((stream, jobs, events))
        self._agreed = ((), ()) if updated or idle else (known.jobs, known.events)
        due = idle[:_MAX_COUNTED]
        for stream, jobs, events in due:
            stream.ledger.asked = (jobs, events)
        return found + [stream for stream, _, _ in due]

    def note_expected(self) -> None:
        """Note the counts that `to_count` has found as expected, except of streams that turned out
        to be others."""
        for ledger, agreement in self._as_expected:
            if ledger.has_base:
                ledger.agree(*agreement)
        self._as_expected = []

    def doubtful(self, streams: Iterable[Stream]) -> list[Doubt]:
        """The streams of which jobs are missing, with the known jobs to look at."""
        return [Doubt(s, _ready(s), _delayed(s)) for s in streams if s.ledger.to_look_at]

    def settle(self, doubts: Iterable[Doubt]) -> list[Stream]:
        """Settle what is missing, and forget what was reported long ago.

        Returns the streams of which that changes what is shown.
        """
        now = time.time()
        for doubt in doubts:
            stream = doubt.stream
            stream.ledger.settle(now, drained=doubt.is_drained())
            doubt.forget_missing()
            self._reported[stream.queue] = stream
        expired = [stream for stream in self._reported.values() if stream.ledger.expire(now)]
        self._reported = {
            queue: stream
            for queue, stream in self._reported.items()
            if stream.ledger.audit.since is not None
        }
        return expired


@dataclass(slots=True)
class Doubt:
    """A queue of which jobs are missing: did `drain` remove them?

    It removes all ready jobs, and all delayed ones if asked to. The jobs are chosen, looked at, and
    then the events are read up to their end: a job that is still known to be ready was ready when
    it was looked at.
    """

    stream: Stream
    ready: dict[bytes, int]
    """Known ready jobs, and since when, in Unix ms."""
    delayed: dict[bytes, int]
    """Known delayed jobs, likewise."""
    missing: set[bytes] | None = None
    """The known jobs that do not exist; None if they were not looked at."""

    @property
    def jobs(self) -> list[bytes]:
        """All known jobs."""
        return [*self.ready, *self.delayed]

    def is_drained(self) -> bool:
        """Whether `drain` explains which jobs do not exist: of the known ones, all up to a moment
        since the last agreement, and none of the later ones."""
        if self.missing is None:
            return False
        ready = self._still(self.ready, _ready(self.stream))
        delayed = self._still(self.delayed, _delayed(self.stream))
        return self._is_prefix(ready) or self._is_prefix(ready | delayed)

    def forget_missing(self) -> None:
        """Forget the jobs that are gone, so that they prove nothing the next time."""
        balance = self.stream.aggregator.balance
        for job in self.missing or ():
            balance.before.pop(job, None)
            balance.delayed.pop(job, None)
            for part in self.stream.aggregator.parts:
                part.forget_ready(job)

    def _is_prefix(self, jobs: Mapping[bytes, int]) -> bool:
        missing = self.missing or set()
        gone = [at for job, at in jobs.items() if job in missing]
        # `drain` keeps the next job of a scheduler, so that one being there proves nothing
        there = [
            at for job, at in jobs.items() if job not in missing and not job.startswith(SCHEDULED)
        ]
        if not gone or not there:
            return bool(gone)
        return min(there) > self.stream.ledger.agreed_ms and min(there) >= max(gone)

    def _still(self, then: Mapping[bytes, int], now: Mapping[bytes, int]) -> dict[bytes, int]:
        return {job: at for job, at in then.items() if now.get(job) == at}


def look_at(context: Context, doubts: Sequence[Doubt]) -> None:
    """Ask which of the known jobs exist."""
    asked = [(doubt, job) for doubt in doubts for job in doubt.jobs]
    if not asked:
        return
    packed = b"".join([JOB_EXISTS.on(doubt.stream.queue.key + job) for doubt, job in asked])
    replies = context.client.batch(packed, len(asked), len(asked) * JOB_EXISTS.limit).replies
    refused: set[bytes] = set()
    for doubt in doubts:
        doubt.missing = set()
    for (doubt, job), reply in zip(asked, replies, strict=True):
        if isinstance(reply, ReplyError):
            context.errors.add(reply, f"EXISTS {doubt.stream.queue.key[:200]!r}")
            refused.add(doubt.stream.key)
        elif reply == 0 and doubt.missing is not None:
            doubt.missing.add(job)
    for doubt in doubts:
        if doubt.stream.key in refused:
            doubt.missing = None


def _is_due(stream: Stream, jobs: int, events: int | None) -> bool:
    ledger = stream.ledger
    if not stream.all_seen:
        return False
    if not ledger.has_base or ledger.counted is None:
        return ledger.asked != (jobs, events)
    return ledger.in_doubt or ledger.counted != (jobs, events)


def _expected(
    known: UnfinishedJobs, stream: Stream, jobs: int | None, events: int | None
) -> _Expected | None:
    """What the queue collector counted, if those were the jobs when the last event was written,
    and as many as were expected.

    Its counts are not of one moment. But if nothing happened to the queue from before them until
    its events were read, that makes no difference. So it is with most queues. The others are busy:
    reading their events takes much more than counting their jobs again.
    """
    if jobs is None or not stream.drained or stream.end is not None:
        return None
    at_ms, ledger, net = id_ms(stream.read_after), stream.ledger, stream.aggregator.net
    if at_ms >= known.after_ms or not ledger.expects(jobs, net) or not stream.all_seen:
        return None
    return ledger, (jobs, events, at_ms, known.evicted_keys, net, stream.aggregator.balance.doubts)


def _ready(stream: Stream) -> dict[bytes, int]:
    """Known ready jobs, and since when, in Unix ms; 0 if they were there before events were read.

    Without long IDs, of which only a hash is known.
    """
    before = stream.aggregator.balance.before
    jobs = {job: 0 for job, active in before.items() if not active}
    for part in stream.aggregator.parts:
        jobs |= part.some_ready(_MAX_KNOWN)
    return {job: at for job, at in jobs.items() if _is_usable(job)}


def _is_usable(job: bytes) -> bool:
    return len(job) != 32 or job.isascii()


def _delayed(stream: Stream) -> dict[bytes, int]:
    """Known delayed jobs, and since when, in Unix ms."""
    return {job: at for job, at in stream.aggregator.balance.delayed.items() if _is_usable(job)}
