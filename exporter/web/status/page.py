"""Renders the status page on request; a queue's row only if something in it has changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, Final

from exporter import __version__
from exporter.bullmq import Queue
from exporter.exposition import join_gzip
from exporter.views.formatting import counted
from exporter.views.moment import Moment
from exporter.views.overview import Overview, QueueView, last_read
from exporter.web.background import Background, Known
from exporter.web.endpoints import ENDPOINTS
from exporter.web.status.assets import SCRIPT, STYLE
from exporter.web.status.charts import trend
from exporter.web.status.connections import connection_views
from exporter.web.status.query import Query
from exporter.web.status.templates import environment

PAGE_ROWS: Final = 100
"""Queues on one page."""

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
        self._known: Known | None = None
        self._rows: dict[_Key, tuple[_Row, str]] = {}
        """Each queue's last rendered row, with its input."""
        self._queues: dict[_Key, Queue] = {}
        """Those that can be read now."""

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
        self._forget_gone(known)
        text = self._page(known, query).encode("utf-8", "replace")
        return Page(join_gzip([text]) if gzip else text, known.moment.now)

    def _forget_gone(self, known: Known) -> None:
        """Forget queues that no longer exist."""
        if known is not self._known:
            self._known = known
            cached = ((key, self._rows.get(key)) for key in map(_key, _queues(known)))
            self._rows = {key: row for key, row in cached if row is not None}
            self._queues = {
                (database.connection, queue.prefix, queue.name): queue
                for database in known.moment.databases
                for queue in database.table.queues
            }

    def _row(self, row: _Row) -> str:
        key = _key(row.view)
        cached = self._rows.get(key)
        if cached is None or cached[0] != row:
            cached = self._rows[key] = (row, str(_templates().row(row.view, row.seen, row.trend)))
        return cached[1]

    def _trend(self, moment: Moment, view: QueueView) -> str:
        """The path of its ready jobs; empty if it cannot be read now."""
        queue = self._queues.get(_key(view))
        if queue is None:
            return ""
        return trend(moment.stored.histories.of(view.connection, queue, moment.now, moment.time))

    def _page(self, known: Known, query: Query) -> str:
        moment, queues = known.moment, _queues(known)
        chosen = query.choose(queues)
        pages = max(1, ceil(len(chosen) / PAGE_ROWS))
        number = min(query.number, pages)
        first = (number - 1) * PAGE_ROWS
        shown = chosen[first : first + PAGE_ROWS]
        seen = last_read(moment)
        rows = [_Row(view, seen.get(view.connection), self._trend(moment, view)) for view in shown]
        page = _templates().page(
            query=query,
            verdict=known.verdict,
            activity=_activity(known.overview),
            connections=connection_views(moment),
            # the current selection stays in the list even if it has no queues now
            connection_names=_choices(moment.config.connections, query.connection),
            prefixes=_choices([v.prefix for v in queues], query.prefix),
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


def _queues(known: Known) -> list[QueueView]:
    """Every queue, also those that cannot be read now."""
    return [*known.overview.queues, *known.last_known]


def _activity(overview: Overview) -> str:
    """`3 jobs ready, 4 active`; a sum over what is known."""
    ready = sum(view.ready or 0 for view in overview.queues)
    active = sum(view.jobs["active"] or 0 for view in overview.queues)
    return f"{counted(ready, 'job')} ready, {active:,} active"


def _choices(values: Iterable[str], chosen: str) -> list[str]:
    """The distinct values, including the chosen one."""
    return sorted({*values, chosen} - {""})


def _key(view: QueueView) -> _Key:
    return (view.connection, view.prefix, view.queue)
