"""The families of the event streams; rewritten only when they change.

A series begins at 0 on the page of one poll, and shows its value from the next poll on: Prometheus
computes an increase from the difference to an earlier sample, so what a series begins with would
never count.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from exporter import metrics
from exporter.bullmq import Queue
from exporter.exposition.event_histograms import HistogramGroups, Row
from exporter.exposition.rows import Rows
from exporter.exposition.sample_column import SampleColumn
from exporter.exposition.samples import Samples, Single
from exporter.metrics import Family
from exporter.state.snapshots import (
    EventFacts,
    Histogram,
    JobEvents,
    NativeBuckets,
    QueueEvents,
)
from exporter.state.unfinished_jobs import Audit, Rebase

_COUNTERS = (
    (metrics.JOBS_ADDED, "added"),
    (metrics.JOBS_DUPLICATED, "duplicated"),
    (metrics.JOBS_DEDUPLICATED, "deduplicated"),
    (metrics.JOBS_STARTED, "started"),
    (metrics.JOBS_COMPLETED, "completed"),
    (metrics.JOBS_FAILED, "failed"),
    (metrics.JOBS_RETRIED, "retried"),
    (metrics.JOBS_STALLED, "stalled"),
)

_NAMES = tuple(name for _, name in _COUNTERS)


class _EventLayout:
    """The part of the samples that depends only on the sets of queues and job names."""

    def __init__(
        self,
        connection: str,
        shown: Mapping[Queue, QueueEvents],
        begun: Mapping[Queue, _Begun],
    ) -> None:
        """`begun` has the beginning of every series of the `shown` queues."""
        names = metrics.EVENTS_READ.labels
        streams = [(connection, queue.prefix, queue.name) for queue in shown]
        since = [begun[queue] for queue in shown]
        each = list(zip(streams, since, shown.values(), strict=True))
        self.jobs = Rows(
            metrics.JOBS_ADDED.labels,
            [(*stream, name) for stream, _, events in each for name in events.jobs],
            [start.names[name] for _, start, events in each for name in events.jobs],
        )
        """The rows of each queue's job names, in order."""
        rows = Rows(names, streams, [start.at for start in since])
        self.read = SampleColumn(metrics.EVENTS_READ, rows)
        self.lost = SampleColumn(metrics.EVENTS_LOST, rows)
        self.last_added = SampleColumn(metrics.QUEUE_LAST_ADDED, rows)
        self.unaccounted = SampleColumn(metrics.JOBS_UNACCOUNTED, rows)
        classes = Rows(
            metrics.JOB_FAILURES.labels,
            [(*stream, name) for stream, _, events in each for name in events.failures],
            [start.classes[name] for _, start, events in each for name in events.failures],
        )
        self.failures = SampleColumn(metrics.JOB_FAILURES, classes)
        reasons = Rows(
            metrics.AUDIT_REBASES.labels,
            [(*stream, reason) for stream, _, events in each for reason in _rebases(events)],
            [start.reasons[reason] for _, start, events in each for reason in _rebases(events)],
        )
        self.rebases = SampleColumn(metrics.AUDIT_REBASES, reasons)
        self.counters = [
            (family, attrgetter(name), SampleColumn(family, self.jobs))
            for family, name in _COUNTERS
        ]


@dataclass(frozen=True, slots=True)
class _Begun:
    """The series of a queue that pages have shown, and since when, as Unix time."""

    at: float
    """Since when the queue has series."""
    names: Mapping[str, float]
    """Job names with counters."""
    classes: Mapping[str, float]
    """Classes of failures."""
    reasons: Mapping[Rebase, float]
    """Reasons of rebases."""
    timed: float | None
    """Since when they have histograms, too."""

    def covers(self, events: QueueEvents) -> bool:
        """Whether these are all series of the queue; its other labels only ever grow."""
        audit = events.audit
        return (
            (self.timed is not None) == (events.read > 0)
            and len(self.names) == len(events.jobs)
            and len(self.classes) == len(events.failures)
            and len(self.reasons) == (0 if audit is None else len(audit.rebases))
        )


_NOT_BEGUN = _Begun(0.0, {}, {}, {}, timed=None)


def _begun_with(events: QueueEvents, before: _Begun | None, at: float) -> _Begun:
    """What has begun with these events; what had not before begins at that Unix time."""
    known = _NOT_BEGUN if before is None else before
    return _Begun(
        at if before is None else before.at,
        {name: known.names.get(name, at) for name in events.jobs},
        {name: known.classes.get(name, at) for name in events.failures},
        {reason: known.reasons.get(reason, at) for reason in _rebases(events)},
        timed=(at if known.timed is None else known.timed) if events.read > 0 else None,
    )


def _rebases(events: QueueEvents) -> Mapping[Rebase, int]:
    return {} if events.audit is None else events.audit.rebases


class _Starts:
    """Which series have begun: those that a page of an earlier poll has shown.

    A queue is forgotten when the facts lack it, not while it is merely hidden: its counters
    continue then, and a 0 in between would count as a reset.
    """

    def __init__(self) -> None:
        self._facts: EventFacts | None = None
        """The facts of the last page."""
        self._begun: Mapping[Queue, _Begun] = {}
        """Before the last page."""
        self.shown: Mapping[Queue, _Begun] = {}
        """With the last page."""

    def advance(self, facts: EventFacts) -> bool:
        """Take the facts of the next page; whether series now show their values."""
        if facts is self._facts:
            return False
        before, self._facts, self._begun = self._begun, facts, self.shown
        return self._begun is not before

    def begin(
        self, queues: Container[Queue], events: Mapping[Queue, QueueEvents], at: float
    ) -> Mapping[Queue, QueueEvents]:
        """The events to show: 0 for each series that has not begun.

        `queues` are those of the facts, `events` those of the shown queues, `at` is the Unix time
        of the page's first sight of them.
        """
        begun = self._begun
        new = {
            queue: _begun_with(each, begun.get(queue), at)
            for queue, each in events.items()
            if queue not in begun or not begun[queue].covers(each)
        }
        gone = [queue for queue in begun if queue not in queues]
        if not new and not gone:
            self.shown = begun
            return events
        self.shown = {**begun, **new}
        for queue in gone:
            self.shown.pop(queue, None)
        zeros = {queue: _from_zero(events[queue], begun.get(queue)) for queue in new}
        return {**events, **zeros}


def _from_zero(events: QueueEvents, begun: _Begun | None) -> QueueEvents:
    """The queue's events with 0 for each series that has not begun."""
    failures = {
        name: each if begun is not None and name in begun.classes else replace(each, count=0)
        for name, each in events.failures.items()
    }
    rebases = {
        reason: count if begun is not None and reason in begun.reasons else 0
        for reason, count in _rebases(events).items()
    }
    audit = Audit(rebases=rebases)
    if begun is None:
        jobs = {name: _zero(jobs) for name, jobs in events.jobs.items()}
        return QueueEvents(0, 0, jobs, failures=failures, audit=audit)
    jobs = {
        name: _zero(each)
        if name not in begun.names
        else each
        if begun.timed is not None
        else _without_durations(each)
        for name, each in events.jobs.items()
    }
    return QueueEvents(events.read, events.lost, jobs, failures=failures, audit=audit)


def _zero(jobs: JobEvents) -> JobEvents:
    """The same series before the first event."""
    none: dict[str, Any] = dict.fromkeys(_NAMES, 0)
    return replace(_without_durations(jobs), **none)


def _without_durations(jobs: JobEvents) -> JobEvents:
    """The same counters, with histograms as before the first observation."""
    runs = {outcome: _empty(run) for outcome, run in jobs.runs.items()}
    return replace(jobs, wait=_empty(jobs.wait), runs=runs)


def _empty(histogram: Histogram) -> Histogram:
    native = histogram.native
    if native is not None:
        native = NativeBuckets(native.schema, 0, {})
    return Histogram(histogram.bounds, (0,) * len(histogram.counts), 0.0, 0, native)


class EventWriter:
    """Writes one connection's event families; caches unchanged samples between pages."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._queues: Sequence[Queue] = ()
        self._events: Mapping[Queue, QueueEvents] = {}
        self._starts = _Starts()
        self._shape: list[tuple[Queue, tuple[str, ...], tuple[str, ...], tuple[Rebase, ...]]] = []
        self._layout = _EventLayout(connection, {}, {})
        self._histograms = HistogramGroups()
        self._families: list[tuple[Family, Samples | None]] = []

    def samples(
        self, facts: EventFacts, queues: Sequence[Queue], at: float, since: float | None = None
    ) -> Iterator[tuple[Family, Samples | None]]:
        """Each family with its samples, for the shown `queues` and for the connection.

        `at` is the Unix time of the facts, `since` that since when the connection is read.
        """
        begun = self._starts.advance(facts)
        if begun or facts.queues is not self._events or queues is not self._queues:
            self._events, self._queues = facts.queues, queues
            self._families = list(self._write(at))
        yield from self._families
        labels = (self._connection,)
        yield metrics.EVENTS_LAG, Single(metrics.EVENTS_LAG, labels, facts.lag_seconds)
        dropped = metrics.EVENTS_INFLIGHT_DROPPED
        yield dropped, Single(dropped, labels, facts.inflight_dropped, since)

    def _write(self, at: float) -> Iterator[tuple[Family, Samples | None]]:
        pairs = ((queue, self._events.get(queue)) for queue in self._queues)
        known = {queue: events for queue, events in pairs if events is not None}
        # a queue without events gets no histograms, which saves sixty series
        timed = [events.read > 0 for events in known.values() for _ in events.jobs]
        shown = self._starts.begin(self._events, known, at)
        layout = self._laid_out(shown)
        yield metrics.EVENTS_READ, layout.read.samples([events.read for events in shown.values()])
        yield metrics.EVENTS_LOST, layout.lost.samples([events.lost for events in shown.values()])
        added = [events.last_added for events in known.values()]
        yield metrics.QUEUE_LAST_ADDED, layout.last_added.samples(added)
        jobs = [job_events for events in shown.values() for job_events in events.jobs.values()]
        for family, counter, column in layout.counters:
            yield family, column.samples(list(map(counter, jobs)))
        failures = [each.count for events in shown.values() for each in events.failures.values()]
        yield metrics.JOB_FAILURES, layout.failures.samples(failures)
        audits = [events.audit for events in known.values()]
        unaccounted = [None if audit is None else audit.unaccounted for audit in audits]
        yield metrics.JOBS_UNACCOUNTED, layout.unaccounted.samples(unaccounted)
        rebases = [count for events in shown.values() for count in _rebases(events).values()]
        yield metrics.AUDIT_REBASES, layout.rebases.samples(rebases)
        places = [place for place, each in enumerate(timed) if each]
        rows = list(map(Row, layout.jobs.values, self._durations_since(shown), jobs))
        yield from self._histograms.samples([rows[place] for place in places], layout.jobs, places)

    def _laid_out(self, shown: Mapping[Queue, QueueEvents]) -> _EventLayout:
        """The layout for these events; the same one while it fits."""
        shape = [
            (queue, tuple(events.jobs), tuple(events.failures), tuple(_rebases(events)))
            for queue, events in shown.items()
        ]
        if shape != self._shape:
            self._shape = shape
            self._layout = _EventLayout(self._connection, shown, self._starts.shown)
        return self._layout

    def _durations_since(self, shown: Mapping[Queue, QueueEvents]) -> Iterator[float]:
        """Since when the histograms of each job name count, if they do, as Unix time."""
        begun = self._starts.shown
        for queue, events in shown.items():
            start = begun[queue]
            for name in events.jobs:
                yield max(start.names[name], start.timed or 0.0)
