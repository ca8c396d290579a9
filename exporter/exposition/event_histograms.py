"""The wait and run times of jobs, encoded again only for queues with new events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from exporter import metrics
from exporter.exposition import protobuf
from exporter.exposition.formats import Format
from exporter.exposition.histograms import histogram_lines, histogram_message
from exporter.exposition.rows import Rows
from exporter.exposition.samples import CompressedSamples, Samples
from exporter.metrics import Family
from exporter.state.snapshots import Histogram, JobEvents

_GROUP: Final = 100
"""Rows whose histograms share a chunk: a smaller chunk compresses worse, a larger one is written
for more rows that did not change."""
_OUTCOME: Final = metrics.JOB_RUN.labels[-1:]


class Row(NamedTuple):
    """The histograms of one job name of a queue."""

    labels: tuple[str, ...]
    """Values of the labels, without the outcome."""
    created: float
    """Unix time since when they count."""
    jobs: JobEvents

    def histograms(self, family: Family) -> Mapping[str, Histogram]:
        """The family's histograms of the row, by outcome."""
        return {"": self.jobs.wait} if family is metrics.JOB_WAIT else self.jobs.runs


class HistogramGroups:
    """The histograms of all rows, in groups that are kept until one of their rows changes."""

    def __init__(self) -> None:
        self._groups: list[tuple[_Group, _Group]] = []

    def samples(
        self, rows: Sequence[Row], source: Rows, places: Sequence[int]
    ) -> Iterator[tuple[Family, Samples | None]]:
        """Each family with its samples; `source` has the rows' encoded labels at `places`."""
        kept = {wait.rows[0].labels: (wait, run) for wait, run in self._groups}
        self._groups = []
        for start in range(0, len(rows), _GROUP):
            members = slice(start, start + _GROUP)
            group = _Labelled(rows[members], source, places[members])
            self._groups.append(_updated(kept.get(rows[start].labels), group))
        for wait, _ in self._groups:
            yield metrics.JOB_WAIT, wait
        for _, run in self._groups:
            yield metrics.JOB_RUN, run


class _Labelled(NamedTuple):
    """Rows and where their encoded labels are."""

    rows: Sequence[Row]
    source: Rows
    places: Sequence[int]


def _updated(kept: tuple[_Group, _Group] | None, group: _Labelled) -> tuple[_Group, _Group]:
    """The group's samples of both families: those kept, if no row has changed."""
    if kept is None:
        return _Group(metrics.JOB_WAIT, group), _Group(metrics.JOB_RUN, group)
    wait, run = kept
    if wait.rows == group.rows:
        return kept
    return _Group(metrics.JOB_WAIT, group, wait), _Group(metrics.JOB_RUN, group, run)


class _Metrics(NamedTuple):
    """A row, and its histograms in protobuf, in order."""

    row: Row
    encoded: tuple[bytes, ...]


class _Group(CompressedSamples):
    """A family's histograms of adjacent rows."""

    def __init__(self, family: Family, group: _Labelled, before: _Group | None = None) -> None:
        """`before` is the same group as of an earlier page; what has not changed is copied."""
        super().__init__()
        self._family = family
        self.rows = group.rows
        self._group = group
        self._before: Sequence[_Metrics] = () if before is None else before.metrics
        self.metrics: Sequence[_Metrics] = ()
        """Of each row, once they were needed."""

    @cached_property
    def has_exemplars(self) -> bool:
        return any(
            histogram.exemplar is not None
            for row in self.rows
            for histogram in row.histograms(self._family).values()
        )

    def _encode(self, form: Format) -> bytes:
        return self._protobuf() if form is Format.PROTOBUF else self._text(form)

    def _text(self, form: Format) -> bytes:
        name, texts = self._family.name, self._group.source.text
        lines = []
        for place, row in zip(self._group.places, self.rows, strict=True):
            for outcome, histogram in row.histograms(self._family).items():
                label = f',outcome="{outcome}"' if outcome else ""
                lines.append(histogram_lines(name, f"{texts[place]}{label}", histogram, form))
        return "".join(lines).encode("utf-8", "replace")

    def _protobuf(self) -> bytes:
        kept = self._before  # another thread may encode the same page
        before: Sequence[_Metrics | None] = kept
        if [each.row.labels for each in kept] != [row.labels for row in self.rows]:
            before = [None] * len(self.rows)
        self.metrics = [
            known if known is not None and known.row == row else self._metrics_of(place, row, known)
            for place, row, known in zip(self._group.places, self.rows, before, strict=True)
        ]
        self._before = ()
        return b"".join([each for metrics in self.metrics for each in metrics.encoded])

    def _metrics_of(self, place: int, row: Row, before: _Metrics | None) -> _Metrics:
        """The row's metrics; those of histograms without new observations are copied."""
        if before is not None and before.row.created == row.created:
            old = before.row.histograms(self._family)
            known = dict(zip(old, before.encoded, strict=True))
        else:
            old, known = {}, {}
        labels = self._group.source.pairs[place]
        return _Metrics(
            row,
            tuple(
                known[outcome]
                if old.get(outcome) is histogram
                else self._metric(labels, outcome, histogram, row.created)
                for outcome, histogram in row.histograms(self._family).items()
            ),
        )

    @staticmethod
    def _metric(labels: bytes, outcome: str, histogram: Histogram, created: float) -> bytes:
        labels += _outcome_pair(outcome)
        return protobuf.histogram_metric(labels, histogram_message(histogram, created))


@lru_cache(maxsize=8)
def _outcome_pair(outcome: str) -> bytes:
    return protobuf.label_pairs(_OUTCOME, (outcome,))
