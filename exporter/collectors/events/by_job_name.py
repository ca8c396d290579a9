"""Aggregates a whole stream: all jobs together, or by job name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from exporter.collectors.events.aggregator import (
    CLEANED,
    Entry,
    EventAggregator,
    field,
    job_events,
)
from exporter.collectors.events.balance import Balance, Totals
from exporter.collectors.events.slos import QueueSlos
from exporter.parsing import MAX_LABEL_BYTES, OTHER
from exporter.state.event_suspects import EventSuspects
from exporter.state.failures import FailureClasses, Failures
from exporter.state.snapshots import JobEvents, QueueEvents
from exporter.state.unfinished_jobs import Audit

_ENDS: Final = frozenset({b"completed", b"failed", b"removed", b"delayed", b"waiting-children"})
"""Events after which a job may pause for long or for ever: its name is forgotten."""
_IGNORED_ADDS: Final = frozenset({b"duplicated", b"deduplicated"})
"""Events about a job that may have finished long ago: its name is only needed for them."""
_COUNTED: Final = _IGNORED_ADDS | {
    *(b"waiting", b"active", b"completed", b"failed", b"delayed", b"stalled"),
}
"""Events that count for a job name, besides `added`."""
_NOT_SEEN: Final = None, False
"""What is known of a ready job of which no event was seen."""
_BEGINS: Final = frozenset({b"added", b"waiting", b"active", b"stalled"})
"""Events of a job that is in flight: its name is needed again."""
_NO_FAILURES: Final[Failures] = {}


class StreamAggregator(Protocol):
    """Aggregates the events of one stream."""

    read: int
    """Number of events read."""
    lost: int
    """Number of events trimmed before they were read."""
    oversized: int
    """Number of job names that were too long."""
    unread_until_ms: int
    """Unix ms of the last event that may not have been read; 0 if all events were read."""
    balance: Balance
    """Filled with the rare events that change the number of unfinished jobs."""

    @property
    def inflight(self) -> int:
        """Number of jobs in flight that are remembered."""
        ...

    @property
    def last_start_ms(self) -> int:
        """Unix ms when a job was last started; 0 if none was seen."""
        ...

    def ready_since_ms(self, job: bytes) -> tuple[int | None, bool]:
        """Since when the job is ready, in Unix ms, None if it is not, or that was not seen; and
        whether it was put back after it had finished."""
        ...

    def active_since_ms(self, job: bytes) -> int | None:
        """When the job was started, in Unix ms; None if it is not active, or that was not seen."""
        ...

    @property
    def parts(self) -> Collection[EventAggregator]:
        """The aggregators of some jobs each."""
        ...

    def unnamed_jobs(self, entries: Sequence[Entry]) -> Sequence[bytes]:
        """IDs of jobs in the entries whose name is needed but unknown, without duplicates."""
        ...

    def add_names(self, names: Mapping[bytes, bytes]) -> None:
        """Add the names of jobs, by job ID."""
        ...

    def feed(self, entries: Sequence[Entry], beyond: int = 0) -> Totals | None:
        """Add entries, in the order of the stream; returns the totals before the last `beyond`, if
        there are any."""
        ...

    @property
    def net(self) -> int:
        """By how much the events so far have changed the number of unfinished jobs."""
        ...

    def end_of_stream(self) -> None:
        """All entries were read: no `stalled` event follows, so a possible retry is one."""
        ...

    def reset(self) -> None:
        """Forget all jobs in flight."""
        ...

    def forget_name(self, job: bytes) -> None:
        """Forget the name of a job."""
        ...

    def frozen(self, audit: Audit | None = None) -> QueueEvents:
        """The current counters and durations, with what the audit found."""
        ...


class TotalAggregator:
    """All jobs together. The aggregator is created by the first event: most queues are idle."""

    __slots__ = (
        "_aggregator",
        "_create",
        "_empty",
        "_failures",
        "balance",
        "lost",
        "oversized",
        "read",
        "unread_until_ms",
    )

    def __init__(
        self,
        create: Callable[[], EventAggregator],
        empty: Mapping[str, JobEvents],
        failures: FailureClasses | None = None,
        balance: Balance | None = None,
    ) -> None:
        """`empty` is shown until the first event; the aggregator fills `failures`, `balance`."""
        self._failures = failures
        self.balance = Balance() if balance is None else balance
        self.read = self.lost = self.oversized = self.unread_until_ms = 0
        self._create = create
        self._empty = empty
        self._aggregator: EventAggregator | None = None

    @property
    def inflight(self) -> int:
        return self._aggregator.inflight if self._aggregator is not None else 0

    @property
    def last_start_ms(self) -> int:
        return self._aggregator.last_start_ms if self._aggregator is not None else 0

    def ready_since_ms(self, job: bytes) -> tuple[int | None, bool]:
        return _NOT_SEEN if self._aggregator is None else self._aggregator.ready_since_ms(job)

    def active_since_ms(self, job: bytes) -> int | None:
        return None if self._aggregator is None else self._aggregator.active_since_ms(job)

    @property
    def parts(self) -> Collection[EventAggregator]:
        return () if self._aggregator is None else (self._aggregator,)

    def unnamed_jobs(self, _: Sequence[Entry]) -> Sequence[bytes]:
        return ()

    def add_names(self, _: Mapping[bytes, bytes]) -> None:
        """Names are not used."""

    def feed(self, entries: Sequence[Entry], beyond: int = 0) -> Totals | None:
        if self._aggregator is None:
            self._aggregator = self._create()
        self.read += len(entries)
        split = len(entries) - beyond
        self._aggregator.feed(entries[:split] if beyond else entries)
        if not beyond:
            return None
        totals = totals_of(self)
        self._aggregator.feed(entries[split:])
        return totals

    @property
    def net(self) -> int:
        return self.balance.net + (0 if self._aggregator is None else self._aggregator.net)

    def end_of_stream(self) -> None:
        if self._aggregator is not None:
            self._aggregator.count_retry()

    def reset(self) -> None:
        self.balance.reset()
        if self._aggregator is not None:
            self._aggregator.reset()

    def forget_name(self, _: bytes) -> None:
        """Names are not used."""

    def frozen(self, audit: Audit | None = None) -> QueueEvents:
        jobs = self._empty if self._aggregator is None else {"": self._aggregator.frozen()}
        failures = _NO_FAILURES if self._failures is None else self._failures.frozen()
        return QueueEvents(self.read, self.lost, jobs, _last_added(self), failures, audit)


class JobNameAggregator:
    """By job name; names that are unknown, too long or beyond the maximum count as `OTHER`."""

    __slots__ = (
        "_bounds",
        "_by_name",
        "_failures",
        "_max_names",
        "_names",
        "_native",
        "_slos",
        "_suspects",
        "balance",
        "lost",
        "oversized",
        "read",
        "unread_until_ms",
    )

    def __init__(
        self,
        wait_bounds: tuple[float, ...],
        run_bounds: tuple[float, ...],
        max_names: int,
        suspects: EventSuspects | None = None,
        failures: FailureClasses | None = None,
        balance: Balance | None = None,
        slos: QueueSlos | None = None,
        *,
        native: bool = False,
    ) -> None:
        self.read = self.lost = self.oversized = self.unread_until_ms = 0
        self.balance = Balance() if balance is None else balance
        self._bounds = (wait_bounds, run_bounds)
        self._native = native
        self._max_names = max_names
        self._suspects = suspects
        self._failures = failures
        self._slos = slos
        self._by_name: dict[str, EventAggregator] = {}
        self._names: dict[bytes, str] = {}

    @property
    def inflight(self) -> int:
        return sum(each.inflight for each in self._by_name.values())

    @property
    def last_start_ms(self) -> int:
        return max((each.last_start_ms for each in self._by_name.values()), default=0)

    def ready_since_ms(self, job: bytes) -> tuple[int | None, bool]:
        aggregator = self._by_name.get(self._names.get(job, OTHER))
        return _NOT_SEEN if aggregator is None else aggregator.ready_since_ms(job)

    def active_since_ms(self, job: bytes) -> int | None:
        aggregator = self._by_name.get(self._names.get(job, OTHER))
        return None if aggregator is None else aggregator.active_since_ms(job)

    @property
    def parts(self) -> Collection[EventAggregator]:
        return self._by_name.values()

    def unnamed_jobs(self, entries: Sequence[Entry]) -> Sequence[bytes]:
        added: set[bytes] = set()
        unnamed: dict[bytes, None] = {}
        for event, job, _, _ in job_events(entries):
            if event == b"added":
                added.add(job)
            elif event in _COUNTED and job not in self._names and job not in added:
                unnamed[job] = None
        return list(unnamed)

    def add_names(self, names: Mapping[bytes, bytes]) -> None:
        self._names.update({job: self._checked(name) for job, name in names.items()})

    def feed(self, entries: Sequence[Entry], beyond: int = 0) -> Totals | None:
        self.read += len(entries)
        # not at once: a retry may begin in the same entries, whose names were looked up before
        ended: set[bytes] = set()
        split = len(entries) - beyond
        self._feed(entries[:split] if beyond else entries, ended)
        totals = totals_of(self) if beyond else None
        if beyond:
            self._feed(entries[split:], ended)
        for job in ended:
            self._names.pop(job, None)
        return totals

    @property
    def net(self) -> int:
        return self.balance.net + sum([part.net for part in self._by_name.values()])

    def _feed(self, entries: Sequence[Entry], ended: set[bytes]) -> None:
        """Add entries; adds to `ended` the jobs whose names may be forgotten after the page."""
        for event, job, at, fields in job_events(entries):
            if event == b"added":
                self._names[job] = self._checked(_name_of(fields))
            elif event not in _COUNTED and job not in self._names:
                # counts for no name, and would create the name `OTHER`
                if event == CLEANED:
                    self.balance.note_cleaned()
                elif event == b"removed":
                    self.balance.note_removed(job, field(fields, b"prev"))
                continue
            aggregator = self._aggregator_of(job)
            aggregator.add(event, job, at, fields)
            if event in _ENDS or (event in _IGNORED_ADDS and not aggregator.is_in_flight(job)):
                ended.add(job)
            elif event in _BEGINS:
                ended.discard(job)

    def end_of_stream(self) -> None:
        for aggregator in self._by_name.values():
            aggregator.count_retry()

    def reset(self) -> None:
        self.balance.reset()
        self._names.clear()
        for aggregator in self._by_name.values():
            aggregator.reset()

    def forget_name(self, job: bytes) -> None:
        self._names.pop(job, None)

    def frozen(self, audit: Audit | None = None) -> QueueEvents:
        jobs = {name: each.frozen() for name, each in self._by_name.items()}
        failures = _NO_FAILURES if self._failures is None else self._failures.frozen()
        return QueueEvents(self.read, self.lost, jobs, _last_added(self), failures, audit)

    def _checked(self, name: bytes) -> str:
        """The name as shown; `OTHER` if it is missing or too long."""
        if len(name) > MAX_LABEL_BYTES:
            self.oversized += 1
            return OTHER
        return name.decode("utf-8", "backslashreplace") or OTHER

    def _aggregator_of(self, job: bytes) -> EventAggregator:
        name = self._names.get(job, OTHER)
        aggregator = self._by_name.get(name)
        if aggregator is None:
            if name != OTHER and len(self._by_name) - (OTHER in self._by_name) >= self._max_names:
                name = self._names[job] = OTHER
            aggregator = self._by_name.get(name)
        if aggregator is None:
            aggregator = self._by_name[name] = EventAggregator(
                *self._bounds,
                self._suspects,
                self._failures,
                self.balance,
                self._slos,
                native=self._native,
            )
        return aggregator


def totals_of(stream: StreamAggregator) -> Totals:
    """How the events so far have changed the number of unfinished jobs."""
    return Totals(stream.net, stream.balance.doubts)


def _last_added(stream: StreamAggregator) -> float | None:
    """Unix time of the last event that is `added`, or may be; None if there is none."""
    seen = max((part.last_added_ms for part in stream.parts), default=0)
    last = max(seen, stream.unread_until_ms)
    return last / 1000 if last else None


def _name_of(fields: Sequence[bytes]) -> bytes:
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    return values.get(b"name", b"")
