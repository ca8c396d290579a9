"""The families with a sample per queue, written one column of the queue table at a time.

Labels are escaped and joined once per set of queues. After a poll, only changed columns are
written again, each with one template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from exporter import metrics
from exporter.bullmq import Queue
from exporter.collectors.queues.subjects.settings import LIBRARY_VERSION
from exporter.config.models import NO_TARGET, Queues
from exporter.diagnosis import Outlook
from exporter.exposition.chunks import Chunk, deflate
from exporter.exposition.sample_column import SampleColumn, escape_percent
from exporter.exposition.text import escape, labels
from exporter.metrics import Family, ShownColumn
from exporter.state.queue_table import QueueTable

_VERSION_LABEL: Final = metrics.QUEUE_INFO.labels[-1]
_NUMBERS: Final = tuple(
    (family, shown)
    for family in metrics.CATALOGUE
    for shown in family.columns
    if family is not metrics.QUEUE_INFO
)
"""The numeric columns, each with its family."""
_TARGETS: Final = (
    (metrics.QUEUE_TARGET_WAIT, "wait_seconds"),
    (metrics.QUEUE_TARGET_RUN, "run_seconds"),
    (metrics.QUEUE_TARGET_FAILURE, "failure_ratio"),
    (metrics.QUEUE_TARGET_SILENT, "silent_seconds"),
)
"""The families of targets, each with its setting."""


class _QueueLayout:
    """The part of the lines that depends only on the set of queues."""

    def __init__(self, connection: str, queues: tuple[Queue, ...]) -> None:
        self.queues = queues
        names = metrics.QUEUE_JOBS.labels[:3]
        self.labels = [labels(names, (connection, queue.prefix, queue.name)) for queue in queues]
        rows = escape_percent(self.labels)
        self.numbers = [
            (family, shown.column, SampleColumn(family, _extra(family, shown), rows))
            for family, shown in _NUMBERS
        ]
        self.workers = SampleColumn(metrics.QUEUE_WORKERS, "", rows)
        self.drain = SampleColumn(metrics.QUEUE_DRAIN, "", rows)
        self.needed = SampleColumn(metrics.QUEUE_WORKERS_NEEDED, "", rows)
        self.targets = [
            (family, attrgetter(setting), SampleColumn(family, "", rows))
            for family, setting in _TARGETS
        ]
        self.settings: Queues | None = None
        """Whose targets `target_lines` shows."""
        self.target_lines: list[tuple[Family, Chunk | None]] = []
        self.versions: Sequence[str | None] = ()
        self.info: Chunk | None = None
        """The lines of `bullmq_queue_info` for `versions`."""


class QueueWriter:
    """Writes one connection's queues; caches the layout and unchanged lines between pages."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._layout = _QueueLayout(connection, ())

    def lines(
        self,
        queues: tuple[Queue, ...],
        table: QueueTable | None,
        workers: Sequence[int | None],
        outlooks: Sequence[Outlook],
        settings: Queues,
    ) -> Iterator[tuple[Family, Chunk | None]]:
        """Each family that is known with its lines. A family with several columns is repeated.

        `table`, if there is one, and `workers` must be of the same `queues`; `outlooks` too, unless
        they are unknown and empty.
        """
        if queues is not self._layout.queues:
            self._layout = _QueueLayout(self._connection, queues)
        layout = self._layout
        yield metrics.QUEUE_WORKERS, layout.workers.lines(workers)
        if outlooks:
            drain = [
                None if each.drain_seconds is None else round(each.drain_seconds, 1)
                for each in outlooks
            ]
            yield metrics.QUEUE_DRAIN, layout.drain.lines(drain)
            needed = [each.workers_needed for each in outlooks]
            yield metrics.QUEUE_WORKERS_NEEDED, layout.needed.lines(needed)
        if settings is not layout.settings:
            layout.settings, layout.target_lines = settings, list(self._targets(settings))
        yield from layout.target_lines
        if table is None:
            return
        for family, column, sample_column in layout.numbers:
            yield family, sample_column.lines(table.column(column))
        if queues:
            yield metrics.QUEUE_INFO, self._info(table.column(LIBRARY_VERSION))

    def _targets(self, settings: Queues) -> Iterator[tuple[Family, Chunk | None]]:
        layout = self._layout
        found = settings.targets_of(queue.name for queue in layout.queues)
        targets = [found.get(queue.name, NO_TARGET) for queue in layout.queues]
        for family, value_of, column in layout.targets:
            yield family, column.lines([value_of(target) for target in targets])

    def _info(self, versions: Sequence[str | None]) -> Chunk | None:
        layout = self._layout
        if versions != layout.versions:
            name = metrics.QUEUE_INFO.name
            lines = [
                f'{name}{{{queue},{_VERSION_LABEL}="{escape(version)}"}} 1\n'
                for queue, version in zip(layout.labels, versions, strict=True)
                if version is not None
            ]
            text = "".join(lines).encode("utf-8", "replace")
            layout.versions, layout.info = versions, deflate(text) if text else None
        return layout.info


def _extra(family: Family, shown: ShownColumn) -> str:
    """The labels after the queue's own, with a leading comma; empty if there are none."""
    names = family.labels[len(family.labels) - len(shown.labels) :]
    return f",{labels(names, shown.labels)}" if names else ""
