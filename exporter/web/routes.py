"""The routes. Every answer comes from memory; no handler talks to Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from exporter.config.models import Config
from exporter.exposition import Format, Renderer, Variant, acceptable, accepts_gzip, choose_format
from exporter.state.store import SnapshotStore
from exporter.views.moment import moment_of
from exporter.views.overview import overview
from exporter.web.auth import BasicAuth, Users
from exporter.web.endpoints import ENDPOINTS, HttpEndpoint
from exporter.web.health import redis_health
from exporter.web.no_store import NoStoreMiddleware
from exporter.web.status import ASSETS, Asset, Query, QueryError, StatusPage
from exporter.web.sync_health import sync_health

# A poll may take its time on a slow Redis or a slow resolver; after this long it hangs.
_HUNG_AFTER_POLLS = 3
_HUNG_AFTER_SECONDS = 60.0


Handler = Callable[[Request], Awaitable[Response]]
Current = Callable[[], Config]
"""Returns the effective configuration."""
Reload = Callable[[], Future[tuple[str, ...]]]
"""Asks for a reload; the result is every reason why it failed."""


def application(
    current: Current, store: SnapshotStore, renderer: Renderer, users: Users, reload: Reload
) -> ASGIApp:
    """The ASGI application, for those whom `users` lets in."""
    handlers = _Handlers(current, store, renderer, reload)
    routes = [_route(endpoint, handlers) for endpoint in ENDPOINTS]
    routes += [Route(f"/{asset.path}", _served(asset), methods=["GET"]) for asset in ASSETS]
    app = Starlette(routes=routes)
    # a redirect would be made of the Host header that a visitor sends
    app.router.redirect_slashes = False
    return NoStoreMiddleware(BasicAuth(app, users))


def _route(endpoint: HttpEndpoint, handlers: _Handlers) -> Route:
    handler: Handler = getattr(handlers, endpoint.name)
    if endpoint.media:
        handler = _offered(endpoint.media, handler)
    return Route(endpoint.path, handler, methods=[endpoint.method])


class _Handlers:
    """The answers, from what the pollers have published; a method for each endpoint."""

    def __init__(
        self, current: Current, store: SnapshotStore, renderer: Renderer, reload: Reload
    ) -> None:
        self._current = current
        self._store = store
        self._renderer = renderer
        self._reload = reload
        self._status = StatusPage(current, store)

    async def metrics(self, request: Request) -> Response:
        form = choose_format(_header(request, "accept"))
        if form is None:
            return _not_acceptable(*(offer.value for offer in Format))
        gzip = accepts_gzip(_header(request, "accept-encoding"))
        headers = {"content-type": form.value, "vary": "Accept, Accept-Encoding"}
        if gzip:
            headers["content-encoding"] = "gzip"
        return Response(self._renderer.body(Variant(form, gzip)), headers=headers)

    async def status(self, request: Request) -> Response:
        try:
            query = Query.of(request.query_params)
        except QueryError as error:
            return PlainTextResponse(f"{error}\n", 400)
        gzip = accepts_gzip(_header(request, "accept-encoding"))
        headers = {"vary": "Accept-Encoding"} | ({"content-encoding": "gzip"} if gzip else {})
        return HTMLResponse(await self._status.body(query, gzip=gzip), headers=headers)

    async def healthy(self, _: Request) -> Response:
        problems = hung_parts(self._current(), self._store, self._renderer)
        if problems:
            return PlainTextResponse("\n".join(problems) + "\n", 503)
        return PlainTextResponse("healthy\n")

    async def ready(self, _: Request) -> Response:
        tried = {snapshot.connection for snapshot in self._store.snapshots()}
        missing = [name for name in self._store.connections if name not in tried]
        if missing:
            return PlainTextResponse(f"not tried yet: {', '.join(missing)}\n", 503)
        return PlainTextResponse("ready\n")

    async def redis(self, request: Request) -> Response:
        config, wanted = self._current(), request.query_params.get("connection")
        if wanted is not None and wanted not in config.connections:
            names = ", ".join(config.connections)
            return _json({"error": f"no connection has that name; there are: {names}"}, 404)
        answer, up = redis_health(moment_of(self._store, config))
        if wanted is not None:
            answer = answer["connections"][wanted]
            up = answer["status"] == "up"
        return _json(answer, 200 if up else 503)

    async def reload(self, _: Request) -> Response:
        if not self._current().web.enable_lifecycle:
            hint = "not enabled; set web.enable_lifecycle: true, or send SIGHUP\n"
            return PlainTextResponse(hint, 403)
        problems = await asyncio.wrap_future(self._reload())
        if problems:
            return PlainTextResponse("\n".join(("not reloaded", *problems, "")), 500)
        return PlainTextResponse("reloaded\n")

    async def queues(self, _: Request) -> Response:
        return _json(overview(moment_of(self._store, self._current())).as_json(), 200)

    async def sync(self, _: Request) -> Response:
        if not self._current().sync.enabled:
            hint = "the sync test is disabled; set sync.enabled: true to run it"
            return _json({"status": "disabled", "error": hint}, 404)
        answer, passed = sync_health(moment_of(self._store, self._current()))
        return _json(answer, 200 if passed else 503)


def _served(asset: Asset) -> Handler:
    """A handler for a file whose address changes with its content."""
    headers = {"cache-control": "private, max-age=31536000, immutable"}

    async def handler(_: Request) -> Response:
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    return handler


def _offered(media: str, handler: Handler) -> Handler:
    """The handler for those who accept what it answers; 406 for the others."""

    async def answer(request: Request) -> Response:
        if not acceptable(_header(request, "accept"), media):
            return _not_acceptable(media)
        found = await handler(request)
        found.headers.add_vary_header("Accept")
        return found

    return answer


def _header(request: Request, name: str) -> str:
    """A list, which may stand in several lines (RFC 9110, 5.3)."""
    return ",".join(request.headers.getlist(name))


def _not_acceptable(*offers: str) -> Response:
    text = f"there is only {' and '.join(offers)}; correct the Accept header, or leave it out\n"
    return PlainTextResponse(text, 406, {"vary": "Accept"})


def _json(answer: dict[str, Any], status: int) -> Response:
    """Indented, since it is read by people under pressure."""
    text = json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
    return Response(text, status, media_type="application/json")


def hung_parts(config: Config, store: SnapshotStore, renderer: Renderer) -> list[str]:
    """What of the exporter itself has stopped working, in words."""
    limit = max(_HUNG_AFTER_SECONDS, _HUNG_AFTER_POLLS * config.poll.interval_seconds)
    problems = [
        f"the poller of {name} has been silent for {seconds:.0f} s"
        for name, seconds in store.seconds_since_publication(time.monotonic()).items()
        if seconds > limit
    ]
    if not renderer.alive:
        problems.append("pages are not being made any more")
    return problems
