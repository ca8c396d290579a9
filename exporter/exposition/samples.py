"""The parts of a page: samples of one family, encoded in a format when a page first needs that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from exporter.exposition import protobuf
from exporter.exposition.chunks import Chunk, deflate
from exporter.exposition.formats import Format
from exporter.exposition.histograms import histogram_lines, histogram_message
from exporter.exposition.text import labels, sample
from exporter.metrics import Family
from exporter.state.snapshots import Histogram


class Samples(Protocol):
    """Samples of one family."""

    def part(self, form: Format) -> bytes | Chunk:
        """The samples in that format, without the family's header."""
        ...


class Single:
    """A gauge or counter."""

    __slots__ = ("_created", "_family", "_labels", "_value")

    def __init__(
        self, family: Family, labels: Sequence[str], value: float, created: float | None = None
    ) -> None:
        """`labels`: their values; `created`: Unix time since when a counter counts, if known."""
        self._family = family
        self._labels = labels
        self._value = value
        self._created = created

    def part(self, form: Format) -> bytes:
        family = self._family
        if form is Format.PROTOBUF:
            pairs = protobuf.label_pairs(family.labels, self._labels)
            return protobuf.metric(family.kind, pairs, self._value, self._created)
        text = sample(family.name, labels(family.labels, self._labels), self._value)
        return text.encode("utf-8", "replace")


class SingleHistogram:
    """A histogram."""

    __slots__ = ("_created", "_family", "_histogram", "_labels")

    def __init__(
        self, family: Family, labels: Sequence[str], histogram: Histogram, created: float | None
    ) -> None:
        """As for `Single`."""
        self._family = family
        self._labels = labels
        self._histogram = histogram
        self._created = created

    def part(self, form: Format) -> bytes:
        family = self._family
        if form is Format.PROTOBUF:
            pairs = protobuf.label_pairs(family.labels, self._labels)
            message = histogram_message(self._histogram, self._created)
            return protobuf.histogram_metric(pairs, message)
        label_text = labels(family.labels, self._labels)
        text = histogram_lines(family.name, label_text, self._histogram, form)
        return text.encode("utf-8", "replace")


class CompressedSamples(ABC):
    """Many samples, compressed once for each format."""

    def __init__(self) -> None:
        self._chunks: dict[Format, Chunk] = {}

    def part(self, form: Format) -> Chunk:
        if form is Format.OPENMETRICS and not self.has_exemplars:
            form = Format.TEXT  # the same bytes
        chunk = self._chunks.get(form)
        if chunk is None:
            chunk = self._chunks[form] = deflate(self._encode(form))
        return chunk

    @property
    def has_exemplars(self) -> bool:
        """Whether the samples have exemplars, which only the older text format lacks."""
        return False

    @abstractmethod
    def _encode(self, form: Format) -> bytes: ...
