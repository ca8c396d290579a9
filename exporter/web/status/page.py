"""Renders the status page on request; a queue's row only if something in it has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, Final

from exporter import __version__
from exporter.exposition import join_gzip
from exporter.views.formatting import counted
from exporter.views.moment import Moment
from exporter.views.overview import QueueView, last_read
from exporter.views.queue_list import QueueList
from exporter.web.background import Background, Known
from exporter.web.endpoints import ENDPOINTS
from exporter.web.status.assets import SCRIPT, STYLE
from exporter.web.status.charts import trend
from exporter.web.status.connections import connection_views
from exporter.web.status.query import Query
from exporter.web.status.templates import environment

PAGE_ROWS: Final = 100
"""Queues on one page."""

_MAX_KEPT_ROWS: Final = 10 * PAGE_ROWS
"""Rendered rows that are kept: two kilobytes each."""
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Row:
    """What is shown of a queue."""

    view: QueueView
    seen: float | None
    """When, as a Unix time; None if that is now."""
    trend: str
    """The path of its ready jobs in the last hour."""


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page."""

    body: bytes
    at: float
    """Monotonic time of what it shows."""


@cache
def _templates() -> Any:
    """The page's compiled macros."""
    return environment().get_template("status.html.j2").module


class StatusPage:
    """Renders the page for each query."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._rows: OrderedDict[_Key, tuple[_Row, str]] = OrderedDict()
        """The rows that were shown last, each with its input."""

    async def page(self, query: Query, *, gzip: bool, max_age: float) -> Page:
        """The current page, or one of at most that age, made without blocking the event loop."""
        return await self._background.response(
            (StatusPage, query, gzip), lambda known: self._made(known, query, gzip=gzip), max_age
        )

    def write(self, query: Query) -> bytes:
        """The current page. Not thread-safe."""
        made = self._background.make(
            (StatusPage, query, False), lambda known: self._made(known, query, gzip=False)
        )
        return made.body

    def _made(self, known: Known, query: Query, *, gzip: bool) -> Page:
        text = self._page(known, query).encode("utf-8", "replace")
        return Page(join_gzip([text]) if gzip else text, known.moment.now)

    def _row(self, row: _Row) -> str:
        key = _key(row.view)
        cached = self._rows.pop(key, None)
        if cached is None or cached[0] != row:
            cached = (row, str(_templates().row(row.view, row.seen, row.trend)))
        self._rows[key] = cached
        if len(self._rows) > _MAX_KEPT_ROWS:
            self._rows.popitem(last=False)
        return cached[1]

    def _page(self, known: Known, query: Query) -> str:
        moment, queues = known.moment, known.queues
        chosen = query.choose(queues)
        pages = max(1, ceil(len(chosen) / PAGE_ROWS))
        number = min(query.number, pages)
        first = (number - 1) * PAGE_ROWS
        shown = chosen[first : first + PAGE_ROWS]
        seen = last_read(moment)
        rows = [_shown(moment, queues, number, seen) for number in shown]
        page = _templates().page(
            query=query,
            verdict=known.verdict,
            activity=_activity(queues),
            connections=connection_views(moment),
            # the current selection stays in the list even if it has no queues now
            connection_names=_choices(moment.config.connections, query.connection),
            prefixes=_choices(queues.prefixes(), query.prefix),
            rows="".join(map(self._row, rows)),
            counts={"all": len(queues), "chosen": len(chosen), "first": first, "shown": len(shown)},
            number=number,
            pages=pages,
            time=moment.time,
            refresh_seconds=min(30.0, max(1.0, moment.config.poll.interval_seconds)),
            version=__version__,
            shard=moment.config.queues.shard,
            endpoints=[
                each
                for each in ENDPOINTS
                if each.method == "GET" and each.path != "/" and not each.needs_queue
            ],
            style=STYLE.path,
            script=SCRIPT.path,
        )
        return str(page)


def _shown(moment: Moment, queues: QueueList, number: int, seen: Mapping[str, float]) -> _Row:
    view, queue = queues.view(number), queues.queue(number)
    points = None
    if queue is not None:
        points = moment.stored.histories.of(view.connection, queue, moment.now, moment.time)
    return _Row(view, seen.get(view.connection), trend(points))


def _activity(queues: QueueList) -> str:
    """`3 jobs ready, 4 active`; a sum over what is known."""
    ready = sum(sum(filter(None, rows.table.ready)) for rows in queues.fresh)
    active = sum(sum(filter(None, rows.jobs["active"])) for rows in queues.fresh)
    return f"{counted(ready, 'job')} ready, {active:,} active"


def _choices(values: Iterable[str], chosen: str) -> list[str]:
    """The distinct values, including the chosen one."""
    return sorted({*values, chosen} - {""})


def _key(view: QueueView) -> _Key:
    return (view.connection, view.prefix, view.queue)
