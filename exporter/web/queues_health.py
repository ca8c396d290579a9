"""`/health/queues`: the verdict and the queues as JSON, all of them or a page. Pure: no I/O."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from exporter.diagnosis import Database
from exporter.views.moment import Moment
from exporter.views.overview import QueueRows
from exporter.views.parameters import QueryError, check_parameters
from exporter.web.background import Known

MAX_LIMIT: Final = 10_000

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode
_Queue = tuple[Database, int]
"""A queue as a row of its database."""


@dataclass(frozen=True, slots=True)
class QueuesQuery:
    """Which queues the response lists."""

    connection: str = ""
    prefix: str = ""
    queue: str = ""
    """The exact name; empty for all, as the two before."""
    limit: int | None = None
    """Most queues in the response; None for all."""
    after: tuple[str, str, str] | None = None
    """Connection, prefix and name of the last queue of the previous page."""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> QueuesQuery:
        """Parse the query string. Raises `QueryError`, also for an unknown parameter."""
        check_parameters(parameters, cls.__slots__)
        names = {name: parameters.get(name, "") for name in ("connection", "prefix", "queue")}
        return cls(**names, limit=_limit(parameters), after=_after(parameters))


def _limit(parameters: Mapping[str, str]) -> int | None:
    text = parameters.get("limit", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= MAX_LIMIT:
        raise QueryError(f"limit: use a number from 1 to {MAX_LIMIT}")
    return int(text)


def _after(parameters: Mapping[str, str]) -> tuple[str, str, str] | None:
    text = parameters.get("after", "")
    if not text:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, RecursionError):
        place = None
    if not (
        isinstance(place, list) and len(place) == 3 and all(isinstance(each, str) for each in place)
    ):
        raise QueryError("after: use the value of `next` in the previous page")
    return (place[0], place[1], place[2])


def queues_health(known: Known, query: QueuesQuery) -> bytes:
    """The response. `next` is what `after` must be for the next page; null on the last page."""
    moment = known.moment
    matching = list(_matching(moment, query))
    rest = matching if query.after is None else list(_after_place(moment, matching, query.after))
    page = rest[: query.limit]
    parts = {each.connection: QueueRows(moment, each) for each in moment.databases}
    views = [parts[database.connection].view(row) for database, row in page]
    content: dict[str, Any] = known.verdict.as_json()
    content["isolations"] = [asdict(each) for each in moment.diagnosis.isolations]
    content["total"] = len(matching)
    content["next"] = _cursor(*page[-1]) if len(page) < len(rest) else None
    # a queue is a line: the indenting encoder takes ten times as long
    lines = ",\n    ".join([_ENCODE(view.as_json()) for view in views])
    others = json.dumps(content, indent=2, ensure_ascii=False).removesuffix("\n}")
    return f'{others},\n  "queues": [\n    {lines}\n  ]\n}}\n'.encode("utf-8", "replace")


def _matching(moment: Moment, query: QueuesQuery) -> Iterator[_Queue]:
    """The queues that the query asks for, on any page."""
    for database in moment.databases:
        if query.connection in ("", database.connection):
            for row, each in enumerate(database.table.queues):
                if query.prefix in ("", each.prefix) and query.queue in ("", each.name):
                    yield database, row


def _after_place(
    moment: Moment, queues: Iterable[_Queue], after: tuple[str, str, str]
) -> Iterator[_Queue]:
    """The queues after this one, which need not exist any more."""
    order = {name: place for place, name in enumerate(moment.config.connections)}
    last = (order.get(after[0], -1), *after[1:])
    for database, row in queues:
        queue = database.table.queues[row]
        if (order.get(database.connection, -1), queue.prefix, queue.name) > last:
            yield database, row


def _cursor(database: Database, row: int) -> str:
    queue = database.table.queues[row]
    place = json.dumps([database.connection, queue.prefix, queue.name])
    return base64.urlsafe_b64encode(place.encode()).decode()
