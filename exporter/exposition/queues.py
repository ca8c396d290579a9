"""The families with a sample per queue, written one column of the queue table at a time.

Labels are encoded once per set of queues. After a poll, only changed columns are written again,
each with one template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from exporter import metrics
from exporter.bullmq import Queue
from exporter.collectors.queues.subjects.settings import LIBRARY_VERSION
from exporter.config.models import NO_TARGET, Queues
from exporter.diagnosis import Outlook, Reason
from exporter.exposition import protobuf
from exporter.exposition.formats import Format
from exporter.exposition.rows import Rows
from exporter.exposition.sample_column import SampleColumn
from exporter.exposition.samples import CompressedSamples, Samples
from exporter.exposition.text import escape
from exporter.metrics import Family
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
        values = [(connection, queue.prefix, queue.name) for queue in queues]
        self.rows = rows = Rows(metrics.QUEUE_WORKERS.labels, values)
        self.numbers = [
            (family, shown.column, SampleColumn(family, rows, shown.labels))
            for family, shown in _NUMBERS
        ]
        self.workers = SampleColumn(metrics.QUEUE_WORKERS, rows)
        self.drain = SampleColumn(metrics.QUEUE_DRAIN, rows)
        self.needed = SampleColumn(metrics.QUEUE_WORKERS_NEEDED, rows)
        self.outlooks: Sequence[Outlook] = ()
        self.outlook_samples: list[tuple[Family, Samples | None]] = []
        """The samples of `outlooks`."""
        self.blocked = [
            (reason, SampleColumn(metrics.QUEUE_BLOCKED, rows, (reason,))) for reason in Reason
        ]
        self.reasons: Sequence[Reason | None] = ()
        """What `blocked_samples` shows."""
        self.blocked_samples: list[Samples | None] = []
        self.targets = [
            (family, attrgetter(setting), SampleColumn(family, rows))
            for family, setting in _TARGETS
        ]
        self.settings: Queues | None = None
        """Whose targets `target_samples` shows."""
        self.target_samples: list[tuple[Family, Samples | None]] = []
        self.versions: Sequence[str | None] = ()
        self.info: Samples | None = None
        """`bullmq_queue_info` for `versions`."""


class QueueWriter:
    """Writes one connection's queues; caches the layout and unchanged samples between pages."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._layout = _QueueLayout(connection, ())

    def samples(
        self,
        queues: tuple[Queue, ...],
        table: QueueTable | None,
        workers: Sequence[int | None],
        outlooks: Sequence[Outlook],
        settings: Queues,
    ) -> Iterator[tuple[Family, Samples | None]]:
        """Each family that is known with its samples. A family with several columns is repeated.

        `table`, if there is one, and `workers` must be of the same `queues`; `outlooks` too, unless
        they are unknown and empty.
        """
        if queues is not self._layout.queues:
            self._layout = _QueueLayout(self._connection, queues)
        layout = self._layout
        yield metrics.QUEUE_WORKERS, layout.workers.samples(workers)
        if outlooks:
            if outlooks is not layout.outlooks:
                layout.outlooks, layout.outlook_samples = outlooks, list(self._outlooks(outlooks))
            yield from layout.outlook_samples
        if settings is not layout.settings:
            layout.settings, layout.target_samples = settings, list(self._targets(settings))
        yield from layout.target_samples
        if table is None:
            return
        for family, column, sample_column in layout.numbers:
            yield family, sample_column.samples(table.column(column))
        if queues:
            yield metrics.QUEUE_INFO, self._info(table.column(LIBRARY_VERSION))

    def blocked(self, reasons: Sequence[Reason | None]) -> Iterator[tuple[Family, Samples | None]]:
        """The samples of the blocked queues, given the reason of each queue of the last table."""
        layout = self._layout
        if reasons != layout.reasons:
            found = set(reasons)
            layout.reasons = reasons
            layout.blocked_samples = [
                column.samples([1 if each is reason else None for each in reasons])
                for reason, column in layout.blocked
                if reason in found
            ]
        for samples in layout.blocked_samples:
            yield metrics.QUEUE_BLOCKED, samples

    def _outlooks(self, outlooks: Sequence[Outlook]) -> Iterator[tuple[Family, Samples | None]]:
        drain = [
            None if each.drain_seconds is None else round(each.drain_seconds, 1)
            for each in outlooks
        ]
        yield metrics.QUEUE_DRAIN, self._layout.drain.samples(drain)
        needed = [each.workers_needed for each in outlooks]
        yield metrics.QUEUE_WORKERS_NEEDED, self._layout.needed.samples(needed)

    def _targets(self, settings: Queues) -> Iterator[tuple[Family, Samples | None]]:
        layout = self._layout
        found = settings.targets_of(queue.name for queue in layout.queues)
        targets = [found.get(queue.name, NO_TARGET) for queue in layout.queues]
        for family, value_of, column in layout.targets:
            yield family, column.samples([value_of(target) for target in targets])

    def _info(self, versions: Sequence[str | None]) -> Samples | None:
        layout = self._layout
        if versions != layout.versions:
            known = any(version is not None for version in versions)
            layout.versions = versions
            layout.info = _Info(layout.rows, versions) if known else None
        return layout.info


class _Info(CompressedSamples):
    """`bullmq_queue_info`, whose label is what changes."""

    def __init__(self, rows: Rows, versions: Sequence[str | None]) -> None:
        super().__init__()
        self._rows = rows
        self._versions = versions

    def _encode(self, form: Format) -> bytes:
        return self._protobuf() if form is Format.PROTOBUF else self._text()

    def _text(self) -> bytes:
        name = metrics.QUEUE_INFO.name
        lines = [
            f'{name}{{{queue},{_VERSION_LABEL}="{escape(version)}"}} 1\n'
            for queue, version in zip(self._rows.text, self._versions, strict=True)
            if version is not None
        ]
        return "".join(lines).encode("utf-8", "replace")

    def _protobuf(self) -> bytes:
        kind, names = metrics.QUEUE_INFO.kind, (_VERSION_LABEL,)
        return b"".join(
            [
                protobuf.metric(kind, queue + protobuf.label_pairs(names, (version,)), 1)
                for queue, version in zip(self._rows.pairs, self._versions, strict=True)
                if version is not None
            ]
        )
