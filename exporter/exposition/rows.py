"""The labels that the rows of several families share, in each encoding that a page needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from exporter.exposition import protobuf
from exporter.exposition.text import labels

Pick = Callable[[Sequence[Any]], Sequence[Any]]
"""Returns some items of a sequence, in a certain order."""


@dataclass(frozen=True, slots=True)
class EqualRows:
    """Rows whose encoded labels have the same length."""

    rows: Sequence[bytes]
    pick: Pick
    """The rows' own items of a sequence with an item for every row."""


class Rows:
    """The labels of rows, without those that a family adds."""

    def __init__(
        self,
        names: Sequence[str],
        values: Sequence[tuple[str, ...]],
        created: Sequence[float] | None = None,
    ) -> None:
        """`values`: those of each row; `created`: since when each row's counters count, as Unix
        time, if that is known."""
        self.names = names
        self.values = values
        self.created = created

    @cached_property
    def text(self) -> list[str]:
        """Each row's labels as text, without braces."""
        return [labels(self.names, values) for values in self.values]

    @cached_property
    def template(self) -> list[str]:
        """The text with each % doubled, for use in a template of the % operator."""
        return [text.replace("%", "%%") for text in self.text]

    @cached_property
    def pairs(self) -> list[bytes]:
        """Each row's labels in protobuf."""
        return [protobuf.label_pairs(self.names, values) for values in self.values]

    @cached_property
    def equal(self) -> list[EqualRows]:
        """The rows in protobuf, by length."""
        return _by_length(self.pairs)

    @cached_property
    def equal_counters(self) -> list[EqualRows]:
        """As `equal`, with the created timestamps."""
        if self.created is None:
            return self.equal
        return _by_length(list(map(protobuf.created_row, self.pairs, self.created)))


def _by_length(rows: Sequence[bytes]) -> list[EqualRows]:
    places = defaultdict(list)
    for place, row in enumerate(rows):
        places[len(row)].append(place)
    return [EqualRows([rows[place] for place in each], _pick(each)) for each in places.values()]


def _pick(places: Sequence[int]) -> Pick:
    if len(places) == 1:
        place = places[0]
        return lambda items: (items[place],)
    return itemgetter(*places)
