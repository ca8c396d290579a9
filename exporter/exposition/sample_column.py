"""The lines of one family for many rows, written with one template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from math import inf

from exporter.exposition.chunks import Chunk, deflate
from exporter.metrics import Family


def escape_percent(labels: Iterable[str]) -> list[str]:
    """Labels in which each % is doubled, for use in a template of the % operator."""
    return [text.replace("%", "%%") for text in labels]


class SampleColumn:
    """The lines of a family for a fixed set of rows, cached while the values are unchanged."""

    def __init__(self, family: Family, extra: str, rows: Sequence[str]) -> None:
        """`rows`: each row's labels, after `escape_percent`; `extra`: more labels for every row."""
        self._begin = f"{family.name}{{"
        self._end = f"{extra}}} ".replace("%", "%%") + "%s\n"
        self._rows = rows
        self._values: Sequence[float | None] = ()
        self._lines: Chunk | None = None

    def lines(self, values: Sequence[float | None]) -> Chunk | None:
        """One line per known value; the same object while the values are unchanged."""
        if values != self._values:
            self._values, self._lines = values, self._write(values)
        return self._lines

    def _write(self, values: Sequence[float | None]) -> Chunk | None:
        rows: Sequence[str] = self._rows
        if None in values:
            known = [value is not None for value in values]
            rows, values = list(compress(rows, known)), list(compress(values, known))
        if not values:
            return None
        filled: tuple[float | str | None, ...]
        if inf in values:
            filled = tuple("+Inf" if value == inf else value for value in values)
        else:
            filled = tuple(values)
        # joining a template takes a tenth of the time of filling it, so templates are not cached
        template = self._begin + (self._end + self._begin).join(rows) + self._end
        return deflate((template % filled).encode("utf-8", "replace"))
