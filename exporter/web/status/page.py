"""Renders the status page on request; a queue's row only if something in it has changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any, Final

from exporter import __version__
from exporter.exposition import join_gzip
from exporter.views.formatting import counted
from exporter.views.overview import Overview, QueueView
from exporter.web.background import Background, Known
from exporter.web.endpoints import ENDPOINTS
from exporter.web.status.assets import SCRIPT, STYLE
from exporter.web.status.connections import connection_views
from exporter.web.status.query import Query
from exporter.web.status.templates import environment

MAX_ROWS: Final = 2000
"""More rows make a browser slow; the page says that some are not shown."""
MAX_DETAILED_ROWS: Final = 100
"""With more rows, workers are not listed: that would multiply the size of the page, and the seconds
for which they are connected would change every row."""

_Key = tuple[str, str, str]


@cache
def _templates() -> Any:
    """The page's compiled macros."""
    return environment().get_template("status.html.j2").module


class StatusPage:
    """Renders the page for each query."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._known: Known | None = None
        self._rows: dict[_Key, tuple[QueueView, bool, str]] = {}
        """Each queue's last rendered row, with its input."""

    async def body(self, query: Query, *, gzip: bool) -> bytes:
        """The current page, rendered without blocking the event loop."""
        return await self._background.response(
            (StatusPage, query, gzip), lambda known: self._body(known, query, gzip=gzip)
        )

    def write(self, query: Query) -> bytes:
        """The current page. Not thread-safe."""
        return self._background.make(
            (StatusPage, query, False), lambda known: self._body(known, query, gzip=False)
        )

    def _body(self, known: Known, query: Query, *, gzip: bool) -> bytes:
        self._forget_gone(known)
        text = self._page(known, query).encode("utf-8", "replace")
        return join_gzip([text]) if gzip else text

    def _forget_gone(self, known: Known) -> None:
        """Forget the rows of queues that no longer exist."""
        if known is not self._known:
            self._known = known
            cached = ((key, self._rows.get(key)) for key in map(_key, known.overview.queues))
            self._rows = {key: row for key, row in cached if row is not None}

    def _row(self, view: QueueView, *, old: bool) -> str:
        key = _key(view)
        cached = self._rows.get(key)
        if cached is None or cached[0] != view or cached[1] != old:
            cached = self._rows[key] = (view, old, str(_templates().row(view, old)))
        return cached[2]

    def _page(self, known: Known, query: Query) -> str:
        moment, queues = known.moment, known.overview.queues
        chosen = query.choose(queues)
        shown = chosen[:MAX_ROWS]
        if len(shown) > MAX_DETAILED_ROWS:
            shown = [replace(view, worker_connections=()) for view in shown]
        down = {each.connection for each in moment.snapshots if not moment.is_up(each)}
        rows = "".join([self._row(view, old=view.connection in down) for view in shown])
        page = _templates().page(
            query=query,
            verdict=known.verdict,
            activity=_activity(known.overview),
            connections=connection_views(moment),
            # the current selection stays in the list even if it has no queues now
            connection_names=_choices(moment.config.connections, query.connection),
            prefixes=_choices([v.prefix for v in queues], query.prefix),
            rows=rows,
            counts={
                "all": len(queues),
                "chosen": len(chosen),
                "shown": len(shown),
            },
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
