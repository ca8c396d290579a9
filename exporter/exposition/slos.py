"""The families of the SLOs of one connection's queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

from exporter import metrics
from exporter.bullmq import Queue
from exporter.exposition.rows import Rows
from exporter.exposition.sample_column import SampleColumn
from exporter.exposition.samples import Samples
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
        self._begun: dict[tuple[Queue, str], float] = {}
        """The queues and SLOs that the last page showed, and since when, as Unix time."""
        self._columns: list[SampleColumn] = []

    def samples(
        self, slos: Mapping[Queue, Sequence[SloFacts]], queues: Sequence[Queue], at: float
    ) -> Iterator[tuple[Family, Samples | None]]:
        """Each family with its samples, for the `queues` that are shown at the Unix time `at`."""
        found = [(queue, slo) for queue in queues for slo in slos.get(queue, ())] if slos else []
        keys = [(queue, slo.name) for queue, slo in found]
        if keys != list(self._begun):
            self._begun = {key: self._begun.get(key, at) for key in keys}
            rows = Rows(
                metrics.SLO_JOBS.labels,
                [(self._connection, queue.prefix, queue.name, name) for queue, name in keys],
                list(self._begun.values()),
            )
            self._columns = [SampleColumn(family, rows) for family, _ in _FAMILIES]
        for (family, value_of), column in zip(_FAMILIES, self._columns, strict=False):
            yield family, column.samples([value_of(slo) for _, slo in found])
