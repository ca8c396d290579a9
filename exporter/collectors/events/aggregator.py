"""Aggregates the events of a stream into counters and durations. Pure.

An entry's ID contains the server's time in ms, so all durations are measured by one clock. Unknown
durations are omitted, not guessed: of jobs whose start was not seen, of a flow's parent that failed
because of a child, and of jobs that failed because they stalled too often.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import ClassVar, Final

from exporter.collectors.events.balance import SCHEDULED, Balance
from exporter.collectors.events.slos import QueueSlos
from exporter.state.event_suspects import EventSuspects, Redeliveries
from exporter.state.failures import FailureClasses
from exporter.state.histogram import Buckets
from exporter.state.snapshots import JobEvents

Entry = tuple[bytes, Sequence[bytes]]
"""An entry of XREAD: its ID, and its fields and values, alternating."""

COMPLETED: Final = "completed"
FAILED: Final = "failed"
RETRIED: Final = "retried"
OUTCOMES: Final = (COMPLETED, FAILED, RETRIED)

CLEANED: Final = b"cleaned"
"""The event of `clean`, for any number of jobs."""
_STALLED_REASON: Final = b"job stalled"
"""Start of `failedReason` if a job stalled too often; its run ended earlier, with its worker."""
_MAX_JOB_ID_BYTES: Final = 256
"""A longer job ID is remembered by its hash: producers choose IDs, and many jobs are in flight."""
_PARENT_MS: Final = 10
"""A parent that fails because of a child becomes active and fails within one or two scripts."""


class EventAggregator:
    """Counters, durations, and the jobs in flight: ready or active, not finished yet."""

    def __init__(
        self,
        wait_bounds: tuple[float, ...],
        run_bounds: tuple[float, ...],
        suspects: EventSuspects | None = None,
        failures: FailureClasses | None = None,
        balance: Balance | None = None,
        slos: QueueSlos | None = None,
        *,
        native: bool = False,
    ) -> None:
        """`suspects` takes the jobs that are suspicious, `failures` the reasons of failures, if
        they are wanted, `balance` the rare events that change the number of unfinished jobs, and
        `slos` how long jobs waited and ran, if the queue has any; all job names of a queue share
        them. `native` is whether to keep native buckets."""
        self._failures = failures
        self._slos = slos
        self._balance = Balance() if balance is None else balance
        self._suspects = EventSuspects(Redeliveries()) if suspects is None else suspects
        self.added = self.started = self.completed = self.failed = 0
        self.retried = self.stalled = self.duplicated = self.deduplicated = 0
        self.last_start_ms = 0
        """Unix ms of the last `active` event; 0 before the first."""
        self.last_added_ms = 0
        """Unix ms of the last `added` event; 0 before the first."""
        self._wait = Buckets(wait_bounds, native=native)
        self._runs = {outcome: Buckets(run_bounds, native=native) for outcome in OUTCOMES}
        # ordered: the first entry of a dict that had many first entries removed is slow to find
        self._ready: OrderedDict[bytes, int] = OrderedDict()
        self._active: OrderedDict[bytes, int] = OrderedDict()
        self._parents: set[bytes] = set()
        self._put_back: set[bytes] = set()
        """Jobs in `_ready` that had finished before."""
        self._possible_retry: tuple[bytes, int, int] | None = None
        """A job that returned from active to waiting, how many ms it ran, and when in Unix ms it
        returned: a retry, unless the next event says that it stalled."""

    @property
    def inflight(self) -> int:
        """Number of jobs in flight that are remembered."""
        return len(self._ready) + len(self._active)

    @property
    def oldest_ms(self) -> int:
        """Unix ms since when the oldest job in flight is remembered; 0 if there is none."""
        firsts = [next(iter(jobs.values())) for jobs in (self._ready, self._active) if jobs]
        return min(firsts, default=0)

    @property
    def net(self) -> int:
        """By how much its added and finished jobs have changed the number of unfinished ones."""
        return self.added - self.completed - self.failed

    def feed(self, entries: Sequence[Entry]) -> None:
        """Add entries, in the order of the stream; events that are not BullMQ's are ignored."""
        handlers = self._HANDLERS
        for event, job, at, fields in job_events(entries):
            handler = handlers.get(event)
            if handler is not None:
                handler(self, job, at, fields)

    def add(self, event: bytes, job: bytes, at: int, fields: Sequence[bytes]) -> None:
        """Add one event; `at` is its time in Unix ms."""
        handler = self._HANDLERS.get(event)
        if handler is not None:
            handler(self, job, at, fields)

    def count_retry(self) -> None:
        """Count the possible retry, if there is one: no `stalled` event of the job followed."""
        if self._possible_retry is not None:
            job, ran, at = self._possible_retry
            self._possible_retry = None
            self.retried += 1
            self._suspects.retried(job)
            self._runs[RETRIED].observe(ran, job, at)
            self._note_end(ran)

    def _note_end(self, ms: float | None) -> None:
        """A run ended after this time, or its start was not seen."""
        if self._slos is not None:
            self._slos.ended(ms)

    def reset(self) -> None:
        """Forget all jobs in flight: the stream was recreated, so job IDs start over."""
        self._ready.clear()
        self._active.clear()
        self._parents.clear()
        self._put_back.clear()
        self._possible_retry = None
        self._suspects.reset()

    def ready_since_ms(self, job: bytes) -> tuple[int | None, bool]:
        """Since when the job is ready, in Unix ms, None if it is not, or that was not seen; and
        whether it was put back after it had finished."""
        return self._ready.get(job), job in self._put_back

    def active_since_ms(self, job: bytes) -> int | None:
        """When the job was started, in Unix ms; None if it is not active, or that was not seen."""
        return self._active.get(job)

    def some_ready(self, most: int) -> dict[bytes, int]:
        """Up to `most` jobs that are ready the longest and as many of the newest, and since when,
        in Unix ms."""
        ready = self._ready
        if len(ready) <= 2 * most:
            return dict(ready)
        return dict([*islice(ready.items(), most), *islice(reversed(ready.items()), most)])

    def forget_ready(self, job: bytes) -> None:
        """Forget a ready job: it is gone, though no event said so."""
        self._ready.pop(job, None)
        self._put_back.discard(job)

    def is_in_flight(self, job: bytes) -> bool:
        """Whether the job is ready or active, as far as that was seen."""
        return job in self._ready or job in self._active

    def forget_oldest(self) -> bytes | None:
        """Forget the job in flight that was remembered first; returns its ID, if there is one."""
        ready, active = self._ready, self._active
        if not ready or (active and next(iter(active.values())) < next(iter(ready.values()))):
            ready = active
        if not ready:
            return None
        job, _ = ready.popitem(last=False)
        if ready is self._active:
            self._balance.forgotten += 1
        self._parents.discard(job)
        self._put_back.discard(job)
        return job

    def frozen(self) -> JobEvents:
        """The current counters and durations."""
        return JobEvents(
            added=self.added,
            started=self.started,
            completed=self.completed,
            failed=self.failed,
            retried=self.retried,
            stalled=self.stalled,
            duplicated=self.duplicated,
            deduplicated=self.deduplicated,
            wait=self._wait.frozen(),
            runs={outcome: run.frozen() for outcome, run in self._runs.items()},
        )

    # --- event handlers ----------------------------------------------------------------------

    def _added(self, job: bytes, at: int, _: Sequence[bytes]) -> None:
        self.added += 1
        self.last_added_ms = at
        if job[:7] == SCHEDULED:
            replaced = self._balance.note_scheduled(job)
            if replaced:
                self._ready.pop(replaced, None)

    def _waiting(self, job: bytes, at: int, fields: Sequence[bytes]) -> None:
        if self._possible_retry is not None:
            self.count_retry()
        started = self._active.pop(job, None)
        self._ready[job] = at
        if len(fields) >= 6:  # without `prev`, the job is new
            self._waits_again(job, at, started, field(fields, b"prev"))

    def _waits_again(
        self, job: bytes, at: int, started: int | None, previous: bytes | None
    ) -> None:
        """A job that was active since `started`, or not at all, is ready again."""
        balance = self._balance
        if job[:7] == SCHEDULED:
            balance.note_waiting(job)
        if previous == b"delayed":
            balance.delayed.pop(job, None)
        elif started is None and previous in (b"failed", b"completed"):
            self._put_back.add(job)
            balance.note_put_back(job)
        elif previous == b"waiting-children":
            self._parents.add(job)
        elif started is None:
            balance.before.pop(job, None)
        # versions before 5.58.6 write `failed` for a retry; without `prev`, versions 3 and 4
        # returned a rate-limited job
        elif previous in (b"active", b"failed"):
            self._possible_retry = (job, at - started, at)

    def _became_active(self, job: bytes, at: int, _: Sequence[bytes]) -> None:
        if self._possible_retry is not None:
            self.count_retry()
        self.started += 1
        self.last_start_ms = at
        ready = self._ready.pop(job, None)
        self._put_back.discard(job)
        self._active[job] = at
        if ready is not None:
            self._wait.observe(at - ready, job, at)
        if self._slos is not None:
            self._slos.started(None if ready is None else at - ready)
        if self._balance.before:
            self._balance.before.pop(job, None)
        if job[:7] == SCHEDULED:
            self._balance.note_started(job)

    def _completed(self, job: bytes, at: int, _: Sequence[bytes]) -> None:
        if self._possible_retry is not None:
            self.count_retry()
        self.completed += 1
        started = self._active.pop(job, None)
        self._parents.discard(job)
        if started is not None:
            self._runs[COMPLETED].observe(at - started, job, at)
        else:
            self._balance.before.pop(job, None)
        self._note_end(None if started is None else at - started)

    def _failed(self, job: bytes, at: int, fields: Sequence[bytes]) -> None:
        if self._possible_retry is not None:
            self.count_retry()
        self.failed += 1
        reason = field(fields, b"failedReason") or b""
        if self._failures is not None:
            self._failures.add(reason, job, at)
        started = self._active.pop(job, None)
        if started is None:
            self._balance.before.pop(job, None)
        self._ready.pop(job, None)
        self._put_back.discard(job)
        parent = job in self._parents
        self._parents.discard(job)
        ran = None if started is None else at - started
        if (
            (parent and ran is not None and ran < _PARENT_MS)
            or reason.startswith(_STALLED_REASON)
            or field(fields, b"prev") == b"waiting-children"
        ):
            ran = None
        if ran is not None:
            self._runs[FAILED].observe(ran, job, at)
        self._note_end(ran)

    def _delayed(self, job: bytes, at: int, _: Sequence[bytes]) -> None:
        if self._possible_retry is not None:
            self.count_retry()
        self._ready.pop(job, None)
        self._put_back.discard(job)
        self._balance.note_delayed(job, at)
        if job[:7] == SCHEDULED:
            self._balance.note_waiting(job)
        started = self._active.pop(job, None)
        if started is not None:
            self.retried += 1
            self._suspects.retried(job)
            self._runs[RETRIED].observe(at - started, job, at)
            self._note_end(at - started)
        else:
            self._balance.before.pop(job, None)

    def _stalled(self, job: bytes, _: int, __: Sequence[bytes]) -> None:
        if self._possible_retry is not None and self._possible_retry[0] == job:
            self._possible_retry = None
        if self._possible_retry is not None:
            self.count_retry()
        self.stalled += 1
        self._suspects.stalled(job)

    def _duplicated(self, job: bytes, _: int, __: Sequence[bytes]) -> None:
        self.duplicated += 1
        if job[:7] == SCHEDULED:
            self._balance.note_irregular(job)

    def _deduplicated(self, _: bytes, __: int, fields: Sequence[bytes]) -> None:
        # BullMQ 5 also writes `debounced`, the previous name of the same event
        self.deduplicated += 1
        if deduplication := field(fields, b"deduplicationId"):
            self._suspects.deduplicated(deduplication)

    def _removed(self, job: bytes, at: int, fields: Sequence[bytes]) -> None:
        self._balance.note_removed(job, field(fields, b"prev"))
        self._left(job, at, fields)

    def _cleaned(self, _: bytes, __: int, ___: Sequence[bytes]) -> None:
        self._balance.note_cleaned()

    def _left(self, job: bytes, _: int, __: Sequence[bytes]) -> None:
        """The job was removed, or waits for its children."""
        if self._possible_retry is not None:
            self.count_retry()
        self._ready.pop(job, None)
        self._put_back.discard(job)
        if self._active.pop(job, None) is not None:
            self._note_end(None)
        self._parents.discard(job)

    _HANDLERS: ClassVar[
        Mapping[bytes, Callable[[EventAggregator, bytes, int, Sequence[bytes]], None]]
    ] = {
        b"added": _added,
        b"waiting": _waiting,
        b"active": _became_active,
        b"completed": _completed,
        b"failed": _failed,
        b"delayed": _delayed,
        b"stalled": _stalled,
        b"duplicated": _duplicated,
        b"deduplicated": _deduplicated,
        b"removed": _removed,
        CLEANED: _cleaned,
        b"waiting-children": _left,
    }


def field(fields: Sequence[bytes], name: bytes) -> bytes | None:
    """The value of a field after `event` and `jobId`."""
    for place in range(4, len(fields) - 1, 2):
        if fields[place] == name:
            return fields[place + 1]
    return None


def job_events(entries: Sequence[Entry]) -> Iterator[tuple[bytes, bytes, int, Sequence[bytes]]]:
    """Event, job ID, time in Unix ms and fields of the entries that concern jobs.

    In place of a long job ID, its hash; that of `cleaned`, which concerns many jobs, is empty.
    """
    for entry_id, fields in entries:
        # the order that BullMQ writes; users' own events may have any fields
        if len(fields) > 3 and fields[0] == b"event" and fields[2] == b"jobId":
            event: bytes | None = fields[1]
            job: bytes | None = fields[3]
        else:
            found = dict(zip(fields[::2], fields[1::2], strict=False))
            event, job = found.get(b"event"), found.get(b"jobId")
            if event == CLEANED:
                job = b""
        if event is not None and job is not None:
            if len(job) > _MAX_JOB_ID_BYTES:
                job = hashlib.blake2b(job, digest_size=32).digest()
            yield event, job, int(entry_id.partition(b"-")[0]), fields
