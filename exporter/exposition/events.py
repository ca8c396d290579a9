"""The families of the event streams; written anew when there are news."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter

from exporter import metrics
from exporter.bullmq import Queue
from exporter.exposition.chunks import Chunk, deflate
from exporter.exposition.sample_column import SampleColumn, escape_percent
from exporter.exposition.text import histogram_lines, labels, sample
from exporter.metrics import Family
from exporter.state.snapshots import EventFacts, JobEvents, QueueEvents

_COUNTERS = (
    (metrics.JOBS_ADDED, "added"),
    (metrics.JOBS_STARTED, "started"),
    (metrics.JOBS_COMPLETED, "completed"),
    (metrics.JOBS_FAILED, "failed"),
    (metrics.JOBS_RETRIED, "retried"),
    (metrics.JOBS_STALLED, "stalled"),
)

_GROUP = 100
"""Queues whose durations are written together: fewer compress worse, more are written in vain."""


class _EventLayout:
    """What stays the same while the set of queues and of job names does."""

    def __init__(self, connection: str, shown: Mapping[Queue, QueueEvents]) -> None:
        names = metrics.EVENTS_READ.labels
        streams = [labels(names, (connection, queue.prefix, queue.name)) for queue in shown]
        self.jobs = [
            f"{stream},{labels(('job_name',), (name,))}"
            for stream, events in zip(streams, shown.values(), strict=True)
            for name in events.jobs
        ]
        """The labels of each queue's job names."""
        rows, job_rows = escape_percent(streams), escape_percent(self.jobs)
        self.read = SampleColumn(metrics.EVENTS_READ, "", rows)
        self.lost = SampleColumn(metrics.EVENTS_LOST, "", rows)
        self.counters = [
            (family, attrgetter(name), SampleColumn(family, "", job_rows))
            for family, name in _COUNTERS
        ]


class EventWriter:
    """Writes one connection's events; keeps what is as it was between pages."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._queues: Sequence[Queue] = ()
        self._events: Mapping[Queue, QueueEvents] = {}
        self._shape: list[tuple[Queue, tuple[str, ...]]] = []
        self._layout = _EventLayout(connection, {})
        self._durations: list[_Durations] = []
        self._families: list[tuple[Family, Chunk | None]] = []

    def lines(
        self, facts: EventFacts, queues: Sequence[Queue]
    ) -> Iterator[tuple[Family, Chunk | None]]:
        """Each family with its lines: of those queues that are shown, and of the connection."""
        if facts.queues is not self._events or queues is not self._queues:
            self._events, self._queues = facts.queues, queues
            self._families = list(self._write())
        yield from self._families
        text = labels(metrics.EVENTS_LAG.labels, (self._connection,))
        lag, dropped = metrics.EVENTS_LAG, metrics.EVENTS_INFLIGHT_DROPPED
        yield lag, _piece(sample(lag.name, text, facts.lag_seconds))
        yield dropped, _piece(sample(dropped.name, text, facts.inflight_dropped))

    def _write(self) -> Iterator[tuple[Family, Chunk | None]]:
        found = ((queue, self._events.get(queue)) for queue in self._queues)
        shown = {queue: events for queue, events in found if events is not None}
        shape = [(queue, tuple(events.jobs)) for queue, events in shown.items()]
        if shape != self._shape:
            self._shape, self._layout = shape, _EventLayout(self._connection, shown)
        layout = self._layout
        yield metrics.EVENTS_READ, layout.read.lines([events.read for events in shown.values()])
        yield metrics.EVENTS_LOST, layout.lost.lines([events.lost for events in shown.values()])
        jobs = [told for events in shown.values() for told in events.jobs.values()]
        for family, counter, column in layout.counters:
            yield family, column.lines(list(map(counter, jobs)))
        yield from self._histograms(shown.values(), jobs)

    def _histograms(
        self, shown: Iterable[QueueEvents], jobs: Sequence[JobEvents]
    ) -> Iterator[tuple[Family, Chunk | None]]:
        # a queue at rest has no durations, and sixty lines fewer
        timed = [events.read > 0 for events in shown for _ in events.jobs]
        rows = list(compress(zip(self._layout.jobs, jobs, strict=True), timed))
        groups = [rows[start : start + _GROUP] for start in range(0, len(rows), _GROUP)]
        known = {group.first: group for group in self._durations}
        self._durations = [_durations(group, known.get(group[0][0])) for group in groups]
        for durations in self._durations:
            yield metrics.JOB_WAIT, durations.wait
        for durations in self._durations:
            yield metrics.JOB_RUN, durations.run


@dataclass(frozen=True, slots=True)
class _Durations:
    """Both histograms of some queues that stand together, kept until one of them changes."""

    first: str
    """Labels of the first of them."""
    rows: Sequence[tuple[str, JobEvents]]
    wait: Chunk | None
    run: Chunk | None


def _durations(rows: Sequence[tuple[str, JobEvents]], known: _Durations | None) -> _Durations:
    if known is not None and known.rows == rows:
        return known
    waits = "".join(
        [histogram_lines(metrics.JOB_WAIT.name, text, told.wait) for text, told in rows]
    )
    runs = "".join([_runs(text, told) for text, told in rows])
    return _Durations(rows[0][0], rows, _piece(waits), _piece(runs))


def _piece(text: str) -> Chunk | None:
    return deflate(text.encode("utf-8", "replace")) if text else None


def _runs(text: str, jobs: JobEvents) -> str:
    return "".join(
        [
            histogram_lines(metrics.JOB_RUN.name, f'{text},outcome="{outcome}"', run)
            for outcome, run in jobs.runs.items()
        ]
    )
