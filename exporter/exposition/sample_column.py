"""The samples of one family for many rows, written with one template."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import inf
from typing import TypeVar, cast

from exporter.exposition import protobuf
from exporter.exposition.formats import Format
from exporter.exposition.rows import EqualRows, Rows
from exporter.exposition.samples import CompressedSamples, Samples
from exporter.exposition.text import labels
from exporter.metrics import Family, MetricType

_Row = TypeVar("_Row")


class SampleColumn:
    """A family's samples for a fixed set of rows, kept while the values are unchanged."""

    def __init__(self, family: Family, rows: Rows, extra: Sequence[str] = ()) -> None:
        """`extra`: values of the family's labels after those of the rows, equal for every row."""
        self._family = family
        self._rows = rows
        self._extra = extra
        self._values: Sequence[float | None] = ()
        self._samples: Samples | None = None

    def samples(self, values: Sequence[float | None]) -> Samples | None:
        """A sample per known value; the same object while the values are unchanged."""
        if values != self._values:
            self._values = values
            known = any(value is not None for value in values)
            self._samples = (
                _Column(self._family, self._rows, self._extra, values) if known else None
            )
        return self._samples


class _Column(CompressedSamples):
    def __init__(
        self, family: Family, rows: Rows, extra: Sequence[str], values: Sequence[float | None]
    ) -> None:
        super().__init__()
        self._family = family
        self._rows = rows
        self._names = family.labels[len(family.labels) - len(extra) :]
        self._extra = extra
        self._values = values

    def _encode(self, form: Format) -> bytes:
        return self._protobuf() if form is Format.PROTOBUF else self._text()

    def _text(self) -> bytes:
        begin = f"{self._family.name}{{"
        extra = f",{labels(self._names, self._extra)}" if self._extra else ""
        end = f"{extra}}} ".replace("%", "%%") + "%s\n"
        rows, values = _known(self._rows.template, self._values)
        filled: tuple[float | str, ...]
        if inf in values:
            filled = tuple("+Inf" if value == inf else value for value in values)
        else:
            filled = tuple(values)
        # joining a template takes a tenth of the time of filling it, so templates are not cached
        template = begin + (end + begin).join(rows) + end
        return (template % filled).encode("utf-8", "replace")

    def _protobuf(self) -> bytes:
        kind = self._family.kind
        extra = protobuf.label_pairs(self._names, self._extra)
        if kind is MetricType.COUNTER:
            head = extra + protobuf.value_head(kind, created=self._rows.created is not None)
            return b"".join([self._metrics(equal, head) for equal in self._rows.equal_counters])
        head = extra + protobuf.value_head(kind, created=False)
        return b"".join([self._gauges(equal, extra, head) for equal in self._rows.equal])

    def _metrics(self, equal: EqualRows, head: bytes) -> bytes:
        rows, values = _known(equal.rows, equal.pick(self._values))
        return protobuf.equal_metrics(rows, head, values) if rows else b""

    def _gauges(self, equal: EqualRows, extra: bytes, head: bytes) -> bytes:
        """As `_metrics`; most gauges are 0, which is shorter."""
        rows, values = _known(equal.rows, equal.pick(self._values))
        zeros = b""
        if 0 in values:
            zeros = protobuf.zero_gauges(
                [row for row, value in zip(rows, values, strict=True) if not value], extra
            )
            rows, values = list(compress(rows, values)), list(filter(None, values))
        return zeros + (protobuf.equal_metrics(rows, head, values) if rows else b"")


def _known(
    rows: Sequence[_Row], values: Sequence[float | None]
) -> tuple[Sequence[_Row], Sequence[float]]:
    """The rows with a known value, and the values."""
    if None in values:
        known = [value is not None for value in values]
        return list(compress(rows, known)), [value for value in values if value is not None]
    return rows, cast("Sequence[float]", values)
