"""The status page's query string: which queues to show, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from exporter.views.parameters import QueryError
from exporter.views.queue_list import QueueList
from exporter.views.sorting import SORTS

_MAX_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Query:
    """The fields of the search form."""

    q: str = ""
    """A part of the queue's name; case does not matter."""
    connection: str = ""
    prefix: str = ""
    only: str = ""
    """`blocked`, or empty for all."""
    sort: str = SORTS[0]
    order: str = ""
    """`back` reverses the sort; empty for its default order."""
    page: str = ""
    """The number of the page, from 1; empty for the first. Beyond the last, the last is shown."""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """Parse the query string. Ignores unknown parameters. Raises `QueryError`."""
        known = {name: parameters[name] for name in cls.__slots__ if parameters.get(name)}
        query = cls(**known)
        allowed = {"only": ("", "blocked"), "sort": SORTS, "order": ("", "back")}
        for name, values in allowed.items():
            if getattr(query, name) not in values:
                choice = ", ".join(value for value in values if value)
                raise QueryError(f"{name}: unknown value; use one of {choice}, or omit it")
        if any(len(value) > _MAX_CHARACTERS for value in known.values()):
            raise QueryError(f"a parameter is longer than {_MAX_CHARACTERS} characters")
        if query.page and not (query.page.isascii() and query.page.isdigit() and query.number):
            raise QueryError("page: must be a number from 1")
        return query

    @property
    def number(self) -> int:
        """The number of the page, from 1."""
        return int(self.page or 1)

    @property
    def is_filtered(self) -> bool:
        """Whether the query may exclude queues."""
        return bool(self.q or self.connection or self.prefix or self.only)

    def choose(self, queues: QueueList) -> list[int]:
        """The numbers of the matching queues, sorted."""
        blocked = bool(self.only)
        matching = queues.matching(self.q, self.connection, self.prefix, blocked=blocked)
        return queues.in_order(matching, self.sort, reverse=self.order == "back")

    def sorted_by(self, sort: str) -> str:
        """The URL of the same query sorted by `sort`; reversed if it is already sorted by it."""
        back = sort == self.sort and self.order != "back"
        return self._url(sort=sort, order="back" if back else "", page="")

    def on_page(self, number: int) -> str:
        """The URL of another page of the same query."""
        return self._url(page=str(number) if number > 1 else "")

    def _url(self, **changes: str) -> str:
        pairs = {name: getattr(self, name) for name in self.__slots__} | changes
        if pairs["sort"] == SORTS[0] and "sort" not in changes:
            pairs["sort"] = ""
        return "?" + urlencode({name: value for name, value in pairs.items() if value})
