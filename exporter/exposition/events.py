"""The families of the event streams; rewritten only when they change.

A series begins at 0 on the page of one poll, and shows its value from the next poll on: Prometheus
computes an increase from the difference to an earlier sample, so what a series begins with would
never count.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from operator import attrgetter
from typing import Any

from exporter import metrics
from exporter.bullmq import Queue
from exporter.exposition.chunks import Chunk, deflate
from exporter.exposition.sample_column import SampleColumn, escape_percent
from exporter.exposition.text import histogram_lines, labels, sample
from exporter.metrics import Family
from exporter.state.snapshots import EventFacts, Histogram, JobEvents, QueueEvents
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

_GROUP = 100
"""Queues whose histograms share a chunk: a smaller chunk compresses worse, a larger one is
rewritten for more queues that did not change."""


class _EventLayout:
    """The part of the lines that depends only on the sets of queues and job names."""

    def __init__(self, connection: str, shown: Mapping[Queue, QueueEvents]) -> None:
        names = metrics.EVENTS_READ.labels
        streams = [labels(names, (connection, queue.prefix, queue.name)) for queue in shown]
        self.jobs = [
            f"{stream},{labels(('job_name',), (name,))}"
            for stream, events in zip(streams, shown.values(), strict=True)
            for name in events.jobs
        ]
        """The labels of each queue's job names, in order."""
        rows, job_rows = escape_percent(streams), escape_percent(self.jobs)
        self.read = SampleColumn(metrics.EVENTS_READ, "", rows)
        self.lost = SampleColumn(metrics.EVENTS_LOST, "", rows)
        self.last_added = SampleColumn(metrics.QUEUE_LAST_ADDED, "", rows)
        classes = [
            f"{stream},{labels(('class',), (name,))}"
            for stream, events in zip(streams, shown.values(), strict=True)
            for name in events.failures
        ]
        self.failures = SampleColumn(metrics.JOB_FAILURES, "", escape_percent(classes))
        reasons = [
            f"{stream},{labels(('reason',), (reason,))}"
            for stream, events in zip(streams, shown.values(), strict=True)
            for reason in _rebases(events)
        ]
        self.rebases = SampleColumn(metrics.AUDIT_REBASES, "", escape_percent(reasons))
        self.unaccounted = SampleColumn(metrics.JOBS_UNACCOUNTED, "", rows)
        self.counters = [
            (family, attrgetter(name), SampleColumn(family, "", job_rows))
            for family, name in _COUNTERS
        ]


@dataclass(frozen=True, slots=True)
class _Begun:
    """The series of a queue that pages have shown."""

    names: frozenset[str]
    """Job names with counters."""
    classes: frozenset[str]
    """Classes of failures."""
    reasons: frozenset[Rebase]
    """Reasons of rebases."""
    timed: bool
    """Whether they have histograms, too."""

    def covers(self, events: QueueEvents) -> bool:
        """Whether these are all series of the queue; its other labels only ever grow."""
        return (
            self.timed == (events.read > 0)
            and len(self.names) == len(events.jobs)
            and len(self.classes) == len(events.failures)
            and len(self.reasons) == len(_rebases(events))
        )


_NOT_BEGUN = _Begun(frozenset(), frozenset(), frozenset(), timed=False)


def _begun_with(events: QueueEvents) -> _Begun:
    return _Begun(
        frozenset(events.jobs),
        frozenset(events.failures),
        frozenset(_rebases(events)),
        timed=events.read > 0,
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
        self._shown: Mapping[Queue, _Begun] = {}
        """With the last page."""

    def advance(self, facts: EventFacts) -> bool:
        """Take the facts of the next page; whether series now show their values."""
        if facts is self._facts:
            return False
        before, self._facts, self._begun = self._begun, facts, self._shown
        return self._begun is not before

    def begin(
        self, queues: Container[Queue], events: Mapping[Queue, QueueEvents]
    ) -> Mapping[Queue, QueueEvents]:
        """The events to show: 0 for each series that has not begun.

        `queues` are those of the facts, `events` those of the shown queues.
        """
        begun = self._begun
        new = {
            queue: _begun_with(each)
            for queue, each in events.items()
            if not begun.get(queue, _NOT_BEGUN).covers(each)
        }
        gone = [queue for queue in begun if queue not in queues]
        if not new and not gone:
            self._shown = begun
            return events
        self._shown = {**begun, **new}
        for queue in gone:
            self._shown.pop(queue, None)
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
        if begun.timed
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
    return Histogram(histogram.bounds, (0,) * len(histogram.counts), 0.0, 0)


class EventWriter:
    """Writes one connection's event families; caches unchanged lines between pages."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._queues: Sequence[Queue] = ()
        self._events: Mapping[Queue, QueueEvents] = {}
        self._starts = _Starts()
        self._shape: list[tuple[Queue, tuple[str, ...], tuple[str, ...], tuple[Rebase, ...]]] = []
        self._layout = _EventLayout(connection, {})
        self._histogram_groups: list[_HistogramGroup] = []
        self._families: list[tuple[Family, Chunk | None]] = []

    def lines(
        self, facts: EventFacts, queues: Sequence[Queue]
    ) -> Iterator[tuple[Family, Chunk | None]]:
        """Each family with its lines, for the shown `queues` and for the connection."""
        begun = self._starts.advance(facts)
        if begun or facts.queues is not self._events or queues is not self._queues:
            self._events, self._queues = facts.queues, queues
            self._families = list(self._write())
        yield from self._families
        text = labels(metrics.EVENTS_LAG.labels, (self._connection,))
        lag, dropped = metrics.EVENTS_LAG, metrics.EVENTS_INFLIGHT_DROPPED
        yield lag, _chunk(sample(lag.name, text, facts.lag_seconds))
        yield dropped, _chunk(sample(dropped.name, text, facts.inflight_dropped))

    def _write(self) -> Iterator[tuple[Family, Chunk | None]]:
        pairs = ((queue, self._events.get(queue)) for queue in self._queues)
        known = {queue: events for queue, events in pairs if events is not None}
        # a queue without events gets no histograms, which saves sixty lines
        timed = [events.read > 0 for events in known.values() for _ in events.jobs]
        shown = self._starts.begin(self._events, known)
        shape = [
            (queue, tuple(events.jobs), tuple(events.failures), tuple(_rebases(events)))
            for queue, events in shown.items()
        ]
        if shape != self._shape:
            self._shape, self._layout = shape, _EventLayout(self._connection, shown)
        layout = self._layout
        yield metrics.EVENTS_READ, layout.read.lines([events.read for events in shown.values()])
        yield metrics.EVENTS_LOST, layout.lost.lines([events.lost for events in shown.values()])
        added = [events.last_added for events in known.values()]
        yield metrics.QUEUE_LAST_ADDED, layout.last_added.lines(added)
        jobs = [job_events for events in shown.values() for job_events in events.jobs.values()]
        for family, counter, column in layout.counters:
            yield family, column.lines(list(map(counter, jobs)))
        failures = [each.count for events in shown.values() for each in events.failures.values()]
        yield metrics.JOB_FAILURES, layout.failures.lines(failures)
        audits = [events.audit for events in known.values()]
        unaccounted = [None if audit is None else audit.unaccounted for audit in audits]
        yield metrics.JOBS_UNACCOUNTED, layout.unaccounted.lines(unaccounted)
        rebases = [count for events in shown.values() for count in _rebases(events).values()]
        yield metrics.AUDIT_REBASES, layout.rebases.lines(rebases)
        yield from self._histograms(timed, jobs)

    def _histograms(
        self, timed: Sequence[bool], jobs: Sequence[JobEvents]
    ) -> Iterator[tuple[Family, Chunk | None]]:
        rows = list(compress(zip(self._layout.jobs, jobs, strict=True), timed))
        groups = [rows[start : start + _GROUP] for start in range(0, len(rows), _GROUP)]
        cached = {group.first: group for group in self._histogram_groups}
        self._histogram_groups = [
            _histogram_group(group, cached.get(group[0][0])) for group in groups
        ]
        for written in self._histogram_groups:
            yield metrics.JOB_WAIT, written.wait
        for written in self._histogram_groups:
            yield metrics.JOB_RUN, written.run


@dataclass(frozen=True, slots=True)
class _HistogramGroup:
    """Both histograms of adjacent rows, cached until one of the rows changes."""

    first: str
    """Labels of the first row, which identify the group."""
    rows: Sequence[tuple[str, JobEvents]]
    wait: Chunk | None
    run: Chunk | None


def _histogram_group(
    rows: Sequence[tuple[str, JobEvents]], cached: _HistogramGroup | None
) -> _HistogramGroup:
    if cached is not None and cached.rows == rows:
        return cached
    waits = "".join(
        [histogram_lines(metrics.JOB_WAIT.name, label_text, jobs.wait) for label_text, jobs in rows]
    )
    runs = "".join([_run_lines(label_text, jobs) for label_text, jobs in rows])
    return _HistogramGroup(rows[0][0], rows, _chunk(waits), _chunk(runs))


def _chunk(text: str) -> Chunk | None:
    return deflate(text.encode("utf-8", "replace")) if text else None


def _run_lines(label_text: str, jobs: JobEvents) -> str:
    return "".join(
        [
            histogram_lines(metrics.JOB_RUN.name, f'{label_text},outcome="{outcome}"', run)
            for outcome, run in jobs.runs.items()
        ]
    )
