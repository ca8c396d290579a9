"""Renders the status page on request, in its own thread, and caches it until something changes.

Polls never wait for it, and many visitors cost as much as one: a queue's row is rendered again only
if something in it has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Final

from exporter import __version__
from exporter.config.models import Config
from exporter.exposition import join_gzip
from exporter.findings import Verdict, verdict_of
from exporter.state.store import SnapshotStore
from exporter.threads import DaemonExecutor
from exporter.views.formatting import counted
from exporter.views.moment import Moment, moment_of
from exporter.views.overview import Overview, QueueView, overview
from exporter.web.endpoints import ENDPOINTS
from exporter.web.status import filters
from exporter.web.status.assets import FOLDER, SCRIPT, STYLE
from exporter.web.status.connections import connection_views
from exporter.web.status.query import Query

MAX_ROWS: Final = 2000
"""More rows make a browser slow; the page says that some are not shown."""
MAX_DETAILED_ROWS: Final = 100
"""With more rows, workers are not listed: that would multiply the size of the page, and the seconds
for which they are connected would change every row."""
_CACHE_SECONDS: Final = 1.0
"""Limited because facts become stale, and queues blocked, as time passes."""
_CACHED_PAGES: Final = 16

_Key = tuple[str, str, str]


@cache
def _templates() -> Any:
    """The page's compiled macros. Imports Jinja only when the first page is requested."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters.FILTERS
    return environment.get_template("status.html.j2").module


@dataclass(slots=True)
class _Rendered:
    """A moment with the pages rendered from it."""

    moment: Moment
    overview: Overview
    verdict: Verdict
    pages: dict[tuple[Query, bool], bytes] = field(default_factory=dict)


class StatusPage:
    """Renders and caches the page for each query."""

    def __init__(self, current: Callable[[], Config], store: SnapshotStore) -> None:
        self._current = current
        self._store = store
        # a single thread, so that requests share the cached pages
        self._pool = DaemonExecutor(1, "status")
        self._last: _Rendered | None = None
        self._rows: dict[_Key, tuple[QueueView, bool, str]] = {}
        """Each queue's last rendered row, with its input."""

    async def body(self, query: Query, *, gzip: bool) -> bytes:
        """The current page, rendered without blocking the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(self.write, query, gzip=gzip))

    def write(self, query: Query, *, gzip: bool = False) -> bytes:
        """The current page. Not thread-safe."""
        rendered = self._newest()
        page = rendered.pages.get((query, gzip))
        if page is None:
            if len(rendered.pages) >= _CACHED_PAGES:
                rendered.pages.clear()
            text = self._page(rendered, query).encode("utf-8", "replace")
            page = rendered.pages[query, gzip] = join_gzip([text]) if gzip else text
        return page

    def _newest(self) -> _Rendered:
        """The cached moment while it is young and nothing new was published; else a new one."""
        last, moment = self._last, moment_of(self._store, self._current())
        if (
            last is not None
            and moment.now - last.moment.now < _CACHE_SECONDS
            and moment.stored.is_same(last.moment.stored)
        ):
            return last
        self._last = _Rendered(moment, overview(moment), verdict_of(moment))
        cached = ((key, self._rows.get(key)) for key in map(_key, self._last.overview.queues))
        self._rows = {key: row for key, row in cached if row is not None}
        return self._last

    def _row(self, view: QueueView, *, old: bool) -> str:
        key = _key(view)
        cached = self._rows.get(key)
        if cached is None or cached[0] != view or cached[1] != old:
            cached = self._rows[key] = (view, old, str(_templates().row(view, old)))
        return cached[2]

    def _page(self, rendered: _Rendered, query: Query) -> str:
        moment, queues = rendered.moment, rendered.overview.queues
        chosen = query.choose(queues)
        shown = chosen[:MAX_ROWS]
        if len(shown) > MAX_DETAILED_ROWS:
            shown = [replace(view, worker_connections=()) for view in shown]
        down = {each.connection for each in moment.snapshots if not moment.is_up(each)}
        rows = "".join([self._row(view, old=view.connection in down) for view in shown])
        page = _templates().page(
            query=query,
            verdict=rendered.verdict,
            activity=_activity(rendered.overview),
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
            endpoints=[each for each in ENDPOINTS if each.method == "GET" and each.path != "/"],
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
