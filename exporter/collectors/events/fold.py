"""Event mathematics: entries of a stream, folded into counters and durations. Pure.

An entry's id is the server's clock in ms, so one clock times the whole story. What cannot be known
is left out rather than guessed: a duration whose start was not seen, that of a flow's parent that a
child has failed, that of a job which stalled too often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Final

from exporter.state.histogram import Buckets
from exporter.state.snapshots import JobEvents

Entry = tuple[bytes, Sequence[bytes]]
"""An entry of XREAD: id, and its fields and values in turn."""

COMPLETED: Final = "completed"
FAILED: Final = "failed"
RETRIED: Final = "retried"
OUTCOMES: Final = (COMPLETED, FAILED, RETRIED)

_STALLED_TEXT: Final = b"job stalled"
"""A failure for stalling too often; its run ended when the worker died, not now."""
_PARENT_MS: Final = 10
"""A parent that a child has failed is handed out and failed within one script or two."""


class Fold:
    """Counters, and the jobs between ready and finished."""

    def __init__(self, wait_bounds: tuple[float, ...], run_bounds: tuple[float, ...]) -> None:
        self.added = self.started = self.completed = self.failed = 0
        self.retried = self.stalled = 0
        self._wait = Buckets(wait_bounds)
        self._runs = {outcome: Buckets(run_bounds) for outcome in OUTCOMES}
        self._ready: dict[bytes, int] = {}
        self._active: dict[bytes, int] = {}
        self._parents: set[bytes] = set()
        self._pending: tuple[bytes, float] | None = None
        """A job that went back from active and how long it ran: a retry, unless it has stalled."""

    @property
    def inflight(self) -> int:
        """Jobs that are remembered."""
        return len(self._ready) + len(self._active)

    @property
    def oldest_ms(self) -> int:
        """Since when the job is remembered that would be forgotten first."""
        firsts = [next(iter(jobs.values())) for jobs in (self._ready, self._active) if jobs]
        return min(firsts, default=0)

    def feed(self, entries: Sequence[Entry]) -> None:
        """Fold entries in the order of the stream; events that are not BullMQ's are passed over."""
        handlers = self._HANDLERS
        for event, job, at, fields in job_events(entries):
            handler = handlers.get(event)
            if handler is not None:
                handler(self, job, at, fields)

    def take(self, event: bytes, job: bytes, at: int, fields: Sequence[bytes]) -> None:
        """Fold one event."""
        handler = self._HANDLERS.get(event)
        if handler is not None:
            handler(self, job, at, fields)

    def settle(self) -> None:
        """The end of the stream is reached: what is pending will not turn out to have stalled."""
        if self._pending is not None:
            _, ran = self._pending
            self._pending = None
            self.retried += 1
            self._runs[RETRIED].observe(_seconds(ran))

    def reset(self) -> None:
        """Forget all jobs: the stream is another one, in which ids begin anew."""
        self._ready.clear()
        self._active.clear()
        self._parents.clear()
        self._pending = None

    def forget_oldest(self) -> bytes | None:
        """Forget the job that has been remembered for longest, and say which."""
        ready, active = self._ready, self._active
        if not ready or (active and next(iter(active.values())) < next(iter(ready.values()))):
            ready = active
        if not ready:
            return None
        job = next(iter(ready))
        del ready[job]
        self._parents.discard(job)
        return job

    def frozen(self) -> JobEvents:
        """The counters and durations as they are now."""
        return JobEvents(
            added=self.added,
            started=self.started,
            completed=self.completed,
            failed=self.failed,
            retried=self.retried,
            stalled=self.stalled,
            wait=self._wait.frozen(),
            runs={outcome: run.frozen() for outcome, run in self._runs.items()},
        )

    # --- one event each ----------------------------------------------------------------------

    def _added(self, _: bytes, __: int, ___: Sequence[bytes]) -> None:
        self.added += 1

    def _waiting(self, job: bytes, at: int, fields: Sequence[bytes]) -> None:
        if self._pending is not None:
            self.settle()
        started = self._active.pop(job, None)
        self._ready[job] = at
        before = _field(fields, b"prev")
        if before == b"waiting-children":
            self._parents.add(job)
        # `failed` is how versions before 5.58.6 call a retry; without `prev`, versions 3 and 4
        # put a rate-limited job back
        elif started is not None and before in (b"active", b"failed"):
            self._pending = (job, at - started)

    def _became_active(self, job: bytes, at: int, _: Sequence[bytes]) -> None:
        if self._pending is not None:
            self.settle()
        self.started += 1
        ready = self._ready.pop(job, None)
        self._active[job] = at
        if ready is not None:
            self._wait.observe(_seconds(at - ready))

    def _completed(self, job: bytes, at: int, _: Sequence[bytes]) -> None:
        if self._pending is not None:
            self.settle()
        self.completed += 1
        started = self._active.pop(job, None)
        self._parents.discard(job)
        if started is not None:
            self._runs[COMPLETED].observe(_seconds(at - started))

    def _failed(self, job: bytes, at: int, fields: Sequence[bytes]) -> None:
        if self._pending is not None:
            self.settle()
        self.failed += 1
        started = self._active.pop(job, None)
        self._ready.pop(job, None)
        parent = job in self._parents
        self._parents.discard(job)
        if started is None or (parent and at - started < _PARENT_MS):
            return
        reason = _field(fields, b"failedReason") or b""
        if not reason.startswith(_STALLED_TEXT) and _field(fields, b"prev") != b"waiting-children":
            self._runs[FAILED].observe(_seconds(at - started))

    def _delayed(self, job: bytes, at: int, _: Sequence[bytes]) -> None:
        if self._pending is not None:
            self.settle()
        self._ready.pop(job, None)
        started = self._active.pop(job, None)
        if started is not None:
            self.retried += 1
            self._runs[RETRIED].observe(_seconds(at - started))

    def _stalled(self, job: bytes, _: int, __: Sequence[bytes]) -> None:
        if self._pending is not None and self._pending[0] == job:
            self._pending = None
        if self._pending is not None:
            self.settle()
        self.stalled += 1

    def _removed(self, job: bytes, _: int, __: Sequence[bytes]) -> None:
        if self._pending is not None:
            self.settle()
        self._drop(job)

    def _parked(self, job: bytes, _: int, __: Sequence[bytes]) -> None:
        if self._pending is not None:
            self.settle()
        self._drop(job)

    def _drop(self, job: bytes) -> None:
        self._ready.pop(job, None)
        self._active.pop(job, None)
        self._parents.discard(job)

    _HANDLERS: ClassVar[Mapping[bytes, Callable[[Fold, bytes, int, Sequence[bytes]], None]]] = {
        b"added": _added,
        b"waiting": _waiting,
        b"active": _became_active,
        b"completed": _completed,
        b"failed": _failed,
        b"delayed": _delayed,
        b"stalled": _stalled,
        b"removed": _removed,
        b"waiting-children": _parked,
    }


def _seconds(ms: float) -> float:
    """A duration; a clock that went backwards gives 0."""
    return ms / 1000 if ms > 0 else 0.0


def _field(fields: Sequence[bytes], name: bytes) -> bytes | None:
    """A field behind the first two."""
    for place in range(4, len(fields) - 1, 2):
        if fields[place] == name:
            return fields[place + 1]
    return None


def job_events(entries: Sequence[Entry]) -> Iterator[tuple[bytes, bytes, int, Sequence[bytes]]]:
    """Event, job, time in ms and fields of the entries that are about a job."""
    for entry_id, fields in entries:
        # as BullMQ writes them; a user's own events may have any fields
        if len(fields) > 3 and fields[0] == b"event" and fields[2] == b"jobId":
            yield fields[1], fields[3], int(entry_id.partition(b"-")[0]), fields
            continue
        found = dict(zip(fields[::2], fields[1::2], strict=False))
        event, job = found.get(b"event"), found.get(b"jobId")
        if event is not None and job is not None:
            yield event, job, int(entry_id.partition(b"-")[0]), fields
