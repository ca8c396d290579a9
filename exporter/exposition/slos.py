"""The families of the SLOs of one connection's queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

from exporter import metrics
from exporter.bullmq import Queue
from exporter.exposition.chunks import Chunk
from exporter.exposition.sample_column import SampleColumn, escape_percent
from exporter.exposition.text import labels
from exporter.metrics import Family
from exporter.state.snapshots import SloFacts

_FAMILIES: Final = (
    (metrics.SLO_OBJECTIVE, attrgetter("objective")),
    (metrics.SLO_TARGET, attrgetter("target_seconds")),
    (metrics.SLO_JOBS, attrgetter("counts.jobs")),
    (metrics.SLO_LATE_JOBS, attrgetter("counts.late_jobs")),
    (metrics.SLO_SECONDS, attrgetter("counts.seconds")),
    (metrics.SLO_LATE_SECONDS, attrgetter("counts.late_seconds")),
)


class SloWriter:
    """Writes the SLOs; caches labels until another queue or SLO is shown."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._rows: list[tuple[Queue, str]] = []
        self._columns: list[SampleColumn] = []

    def lines(
        self, slos: Mapping[Queue, Sequence[SloFacts]], queues: Sequence[Queue]
    ) -> Iterator[tuple[Family, Chunk | None]]:
        """Each family with its lines, for the shown `queues`."""
        found = [(queue, slo) for queue in queues for slo in slos.get(queue, ())] if slos else []
        rows = [(queue, slo.name) for queue, slo in found]
        if rows != self._rows:
            names, self._rows = metrics.SLO_JOBS.labels, rows
            row_labels = escape_percent(
                labels(names, (self._connection, queue.prefix, queue.name, name))
                for queue, name in rows
            )
            self._columns = [SampleColumn(family, "", row_labels) for family, _ in _FAMILIES]
        for (family, value_of), column in zip(_FAMILIES, self._columns, strict=False):
            yield family, column.lines([value_of(slo) for _, slo in found])
