"""Which queues a visitor wants to see, in which order. It chooses among what is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from exporter.views.overview import QueueView
from exporter.views.sorting import SORTS, in_order

_DEFAULT_SORT: Final = "reason"
_MOST_CHARACTERS: Final = 200


class QueryError(ValueError):
    """The address of the page has a mistake; the text says which."""


@dataclass(frozen=True, slots=True)
class Query:
    """The search form."""

    q: str = ""
    """A part of the queue's name, in whatever case."""
    connection: str = ""
    prefix: str = ""
    only: str = ""
    """`blocked`, or empty for all."""
    sort: str = _DEFAULT_SORT
    order: str = ""
    """`back` turns the sort's own order round."""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """From the address. Raises `QueryError`; parameters that are not known do no harm."""
        known = {name: parameters[name] for name in cls.__slots__ if parameters.get(name)}
        query = cls(**known)
        allowed = {"only": ("", "blocked"), "sort": SORTS, "order": ("", "back")}
        for name, values in allowed.items():
            if getattr(query, name) not in values:
                choice = ", ".join(value for value in values if value)
                raise QueryError(f"{name}: not known here; give one of {choice}, or leave it out")
        if any(len(value) > _MOST_CHARACTERS for value in known.values()):
            raise QueryError(f"a parameter is longer than {_MOST_CHARACTERS} characters")
        return query

    @property
    def narrows(self) -> bool:
        """Whether some queues may be left out."""
        return bool(self.q or self.connection or self.prefix or self.only)

    def choose(self, views: Iterable[QueueView]) -> list[QueueView]:
        """What was asked for, in its order."""
        found = [view for view in views if self._wants(view)]
        return in_order(found, self.sort, backwards=self.order == "back")

    def sorted_by(self, sort: str) -> str:
        """The address with another order: a second time the same turns it round."""
        back = sort == self.sort and self.order != "back"
        pairs = {name: getattr(self, name) for name in ("q", "connection", "prefix", "only")}
        pairs |= {"sort": sort, "order": "back" if back else ""}
        return "?" + urlencode({name: value for name, value in pairs.items() if value})

    def _wants(self, view: QueueView) -> bool:
        return (
            self.q.casefold() in view.queue.casefold()
            and self.connection in ("", view.connection)
            and self.prefix in ("", view.prefix)
            and not (self.only and view.reason is None)
        )
