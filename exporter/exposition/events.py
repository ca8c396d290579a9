"""The families of the event streams; the lines of a queue are written anew when it has news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from exporter import metrics
from exporter.bullmq import Queue
from exporter.exposition.text import histogram_lines, labels, sample
from exporter.metrics import Family
from exporter.snapshot import EventFacts, JobEvents, QueueEvents

_COUNTERS = (
    (metrics.JOBS_ADDED, "added"),
    (metrics.JOBS_STARTED, "started"),
    (metrics.JOBS_COMPLETED, "completed"),
    (metrics.JOBS_FAILED, "failed"),
    (metrics.JOBS_RETRIED, "retried"),
    (metrics.JOBS_STALLED, "stalled"),
)


_FAMILIES = (
    metrics.EVENTS_READ,
    metrics.EVENTS_LOST,
    *(family for family, _ in _COUNTERS),
    metrics.JOB_WAIT,
    metrics.JOB_RUN,
)


class EventWriter:
    """Writes one connection's events; keeps the lines of queues without news."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._queues: Sequence[Queue] = ()
        self._events: Mapping[Queue, QueueEvents] = {}
        self._written: dict[Queue, tuple[QueueEvents, tuple[str, ...]]] = {}
        self._families: list[tuple[Family, bytes]] = []

    def lines(self, facts: EventFacts, queues: Sequence[Queue]) -> Iterator[tuple[Family, bytes]]:
        """Each family with its lines: of those queues that are shown, and of the connection."""
        if facts.queues is not self._events or queues is not self._queues:
            self._events, self._queues = facts.queues, queues
            self._write()
        yield from self._families
        text = labels(metrics.EVENTS_LAG.labels, (self._connection,))
        lag, dropped = metrics.EVENTS_LAG, metrics.EVENTS_INFLIGHT_DROPPED
        yield lag, sample(lag.name, text, facts.lag_seconds).encode()
        yield dropped, sample(dropped.name, text, facts.inflight_dropped).encode()

    def _write(self) -> None:
        written: dict[Queue, tuple[QueueEvents, tuple[str, ...]]] = {}
        for queue in self._queues:
            events = self._events.get(queue)
            if events is None:
                continue
            known = self._written.get(queue)
            if known is None or known[0] is not events:
                known = (events, self._queue(queue, events))
            written[queue] = known
        self._written = written
        columns = zip(*(texts for _, texts in written.values()), strict=True)
        self._families = [
            (family, text.encode("utf-8", "replace"))
            for family, column in zip(_FAMILIES, columns, strict=False)
            if (text := "".join(column))
        ]

    def _queue(self, queue: Queue, events: QueueEvents) -> tuple[str, ...]:
        """The queue's lines in each of `_FAMILIES`."""
        values = (self._connection, queue.prefix, queue.name)
        stream = labels(metrics.EVENTS_READ.labels, values)
        parts = [
            (labels(metrics.JOBS_ADDED.labels, (*values, name)), jobs)
            for name, jobs in events.jobs.items()
        ]
        counters = (
            "".join([sample(family.name, text, getattr(jobs, name)) for text, jobs in parts])
            for family, name in _COUNTERS
        )
        # a queue at rest has no durations, and sixty lines fewer
        timed = parts if events.read else []
        return (
            sample(metrics.EVENTS_READ.name, stream, events.read),
            sample(metrics.EVENTS_LOST.name, stream, events.lost),
            *counters,
            "".join([histogram_lines(metrics.JOB_WAIT.name, text, j.wait) for text, j in timed]),
            "".join([_runs(text, jobs) for text, jobs in timed]),
        )


def _runs(text: str, jobs: JobEvents) -> str:
    return "".join(
        [
            histogram_lines(metrics.JOB_RUN.name, f'{text},outcome="{outcome}"', run)
            for outcome, run in jobs.runs.items()
        ]
    )
