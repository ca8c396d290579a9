"""The families of the event streams; the lines of a queue are written anew when it has news."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporter import metrics
from exporter.bullmq import Queue
from exporter.exposition.text import histogram_lines, labels, sample
from exporter.metrics import Family
from exporter.snapshot import EventFacts, JobEvents, QueueEvents

Line = tuple[Family, str]

_COUNTERS = (
    (metrics.JOBS_ADDED, "added"),
    (metrics.JOBS_STARTED, "started"),
    (metrics.JOBS_COMPLETED, "completed"),
    (metrics.JOBS_FAILED, "failed"),
    (metrics.JOBS_RETRIED, "retried"),
    (metrics.JOBS_STALLED, "stalled"),
)


class EventWriter:
    """Writes one connection's events; keeps the lines of queues without news."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._written: dict[Queue, tuple[QueueEvents, list[Line]]] = {}

    def lines(self, facts: EventFacts, queues: Sequence[Queue]) -> Iterator[Line]:
        """The lines of those queues that are shown, and of the connection."""
        written: dict[Queue, tuple[QueueEvents, list[Line]]] = {}
        for queue in queues:
            events = facts.queues.get(queue)
            if events is None:
                continue
            known = self._written.get(queue)
            if known is None or known[0] is not events:
                known = (events, list(self._queue(queue, events)))
            written[queue] = known
            yield from known[1]
        self._written = written
        text = labels(metrics.EVENTS_LAG.labels, (self._connection,))
        yield metrics.EVENTS_LAG, sample(metrics.EVENTS_LAG.name, text, facts.lag_seconds)
        dropped = metrics.EVENTS_INFLIGHT_DROPPED
        yield dropped, sample(dropped.name, text, facts.inflight_dropped)

    def _queue(self, queue: Queue, events: QueueEvents) -> Iterator[Line]:
        values = (self._connection, queue.prefix, queue.name)
        stream = labels(metrics.EVENTS_READ.labels, values)
        yield metrics.EVENTS_READ, sample(metrics.EVENTS_READ.name, stream, events.read)
        yield metrics.EVENTS_LOST, sample(metrics.EVENTS_LOST.name, stream, events.lost)
        for name, jobs in events.jobs.items():
            text = labels(metrics.JOBS_ADDED.labels, (*values, name))
            yield from _counters(text, jobs)
            if events.read:  # a queue at rest has no durations, and sixty lines fewer
                yield from _durations(text, jobs)


def _counters(text: str, jobs: JobEvents) -> Iterator[Line]:
    for family, name in _COUNTERS:
        yield family, sample(family.name, text, getattr(jobs, name))


def _durations(text: str, jobs: JobEvents) -> Iterator[Line]:
    yield metrics.JOB_WAIT, histogram_lines(metrics.JOB_WAIT.name, text, jobs.wait)
    for outcome, run in jobs.runs.items():
        labelled = f'{text},outcome="{outcome}"'
        yield metrics.JOB_RUN, histogram_lines(metrics.JOB_RUN.name, labelled, run)
