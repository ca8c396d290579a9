"""The routes. Every response comes from memory; no handler talks to Redis."""

from __future__ import annotations

import asyncio
import json
import re
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
from exporter.views.find_queue import QueueQuery
from exporter.views.moment import moment_of
from exporter.views.parameters import QueryError
from exporter.web.auth import BasicAuth, Users
from exporter.web.background import Background, Known
from exporter.web.endpoints import ENDPOINTS, HttpEndpoint
from exporter.web.health import redis_health
from exporter.web.no_store import NoStoreMiddleware
from exporter.web.queue_detail import queue_health
from exporter.web.queues_health import QueuesQuery, queues_health
from exporter.web.scale import ScaleQuery, scale
from exporter.web.status import ASSETS, Asset, Query, StatusPage, queue_page
from exporter.web.sync_health import sync_health

# A poll may take long on a slow Redis or resolver; after the longer of these it counts as hung.
_HUNG_AFTER_POLLS = 3
_HUNG_AFTER_SECONDS = 60.0


_MAX_AGE = re.compile(r"\bmax-age=([0-9]{1,9})\b")
_MAX_AGE_POLLS = 2
"""Intervals of polls after which a page is made again, whatever age the client accepts."""

_CROSS_SITE = (
    "refused: a page of another site sent this request (Origin or Sec-Fetch-Site); use curl or "
    "a signal\n"
)

Handler = Callable[[Request], Awaitable[Response]]
Current = Callable[[], Config]
"""Returns the effective configuration."""
Reload = Callable[[], Future[tuple[str, ...]]]
"""Requests a reload; the result holds every reason for which it failed."""
Discover = Callable[[], None]
"""Requests a discovery of every connection."""


def application(
    current: Current,
    store: SnapshotStore,
    renderer: Renderer,
    users: Users,
    reload: Reload,
    discover: Discover,
) -> ASGIApp:
    """The ASGI application, with access for `users`."""
    handlers = _Handlers(current, store, renderer, reload, discover)
    routes = [_route(endpoint, handlers) for endpoint in ENDPOINTS]
    routes += [Route(f"/{asset.path}", _asset_handler(asset), methods=["GET"]) for asset in ASSETS]
    app = Starlette(routes=routes)
    # a redirect would contain the Host header that the client sent
    app.router.redirect_slashes = False
    return NoStoreMiddleware(BasicAuth(app, users))


def _route(endpoint: HttpEndpoint, handlers: _Handlers) -> Route:
    handler: Handler = getattr(handlers, endpoint.name)
    if endpoint.media:
        handler = _negotiated(endpoint.media, handler)
    return Route(endpoint.path, handler, methods=[endpoint.method])


class _Handlers:
    """One method per endpoint; they respond with what the pollers have published."""

    def __init__(
        self,
        current: Current,
        store: SnapshotStore,
        renderer: Renderer,
        reload: Reload,
        discover: Discover,
    ) -> None:
        self._current = current
        self._store = store
        self._renderer = renderer
        self._reload = reload
        self._discover = discover
        self._background = Background(current, store)
        self._status = StatusPage(self._background)

    async def metrics(self, request: Request) -> Response:
        form = choose_format(_header(request, "accept"))
        if form is None:
            return _not_acceptable(*(offer.value for offer in Format))
        gzip, headers = _compression(request)
        headers |= {"content-type": form.value, "vary": "Accept, Accept-Encoding"}
        variant = Variant(form, gzip)
        if self._renderer.is_ready(variant):
            body = self._renderer.body(variant)
        else:
            body = await self._background.run(self._renderer.body, variant)
        return Response(body, headers=headers)

    async def status(self, request: Request) -> Response:
        query = Query.of(request.query_params)
        gzip, headers = _compression(request)
        interval = self._current().poll.interval_seconds
        max_age = min(_max_age(request), _MAX_AGE_POLLS * max(1.0, interval))
        page = await self._status.page(query, gzip=gzip, max_age=max_age)
        headers["age"] = str(int(time.monotonic() - page.at))
        return HTMLResponse(page.body, headers=headers)

    async def healthy(self, _: Request) -> Response:
        problems = hung_parts(self._current(), self._store, self._renderer)
        if problems:
            return PlainTextResponse("\n".join(problems) + "\n", 503)
        return PlainTextResponse("healthy\n")

    async def ready(self, _: Request) -> Response:
        missing = untried(self._current(), self._store, self._renderer)
        if missing:
            return PlainTextResponse(f"not tried yet: {', '.join(missing)}\n", 503)
        return PlainTextResponse("ready\n")

    async def redis(self, request: Request) -> Response:
        config, name = self._current(), request.query_params.get("connection")
        if name is not None and name not in config.connections:
            names = ", ".join(config.connections)
            return _json({"error": f"unknown connection; available: {names}"}, 404)
        health, up = await self._background.response("redis", redis_health)
        if name is not None:
            health = health["connections"][name]
            up = health["status"] == "up"
        return _json(health, 200 if up else 503)

    async def reload(self, request: Request) -> Response:
        if (refusal := self._refusal(request, "SIGHUP")) is not None:
            return refusal
        problems = await asyncio.wrap_future(self._reload())
        if problems:
            return PlainTextResponse("\n".join(("not reloaded", *problems, "")), 500)
        return PlainTextResponse("reloaded\n")

    async def discover(self, request: Request) -> Response:
        if (refusal := self._refusal(request, "SIGUSR1")) is not None:
            return refusal
        self._discover()
        return PlainTextResponse("discovery starts at the next poll\n", 202)

    def _refusal(self, request: Request, signal: str) -> Response | None:
        """Why a request that changes what the exporter does is refused; None if it is not."""
        if not self._current().web.enable_lifecycle:
            hint = f"not enabled; set web.enable_lifecycle: true or send {signal}\n"
            return PlainTextResponse(hint, 403)
        return PlainTextResponse(_CROSS_SITE, 403) if _is_cross_site(request) else None

    async def queues(self, request: Request) -> Response:
        query = QueuesQuery.of(request.query_params)
        body = await self._background.response(query, lambda known: queues_health(known, query))
        return Response(body, media_type="application/json")

    async def queue_page(self, request: Request) -> Response:
        query = QueueQuery.of(request.query_params)
        gzip, headers = _compression(request)
        body, status = await self._background.response(
            ("queue page", query, gzip), lambda known: queue_page(known, query, gzip=gzip)
        )
        return HTMLResponse(body, status, headers=headers)

    async def queue(self, request: Request) -> Response:
        query = QueueQuery.of(request.query_params)
        content, status = await self._background.response(
            ("queue", query), lambda known: queue_health(known, query)
        )
        return _json(content, status)

    async def scale(self, request: Request) -> Response:
        query = ScaleQuery.of(request.query_params)
        # in the event loop: it takes less than a millisecond, and must not wait while the
        # responses about all queues are made that others asked for
        moment = moment_of(self._store, self._current())
        return _json(*scale(Known(moment), query))

    async def sync(self, _: Request) -> Response:
        if not self._current().sync.enabled:
            hint = "the sync test is disabled; set sync.enabled: true to run it"
            return _json({"status": "disabled", "error": hint}, 404)
        health, passed = sync_health(moment_of(self._store, self._current()))
        return _json(health, 200 if passed else 503)


def _asset_handler(asset: Asset) -> Handler:
    """A handler for a file that may be cached for ever, since its URL changes with its content."""
    headers = {"cache-control": "private, max-age=31536000, immutable"}

    async def handler(_: Request) -> Response:
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    return handler


def _negotiated(media: str, handler: Handler) -> Handler:
    """The handler, with responses to clients that do not accept the media type (406) and to invalid
    query strings (400)."""

    async def negotiate(request: Request) -> Response:
        if not acceptable(_header(request, "accept"), media):
            return _not_acceptable(media)
        try:
            response = await handler(request)
        except QueryError as error:
            response = _bad_query(media, error)
        response.headers.add_vary_header("Accept")
        return response

    return negotiate


def _bad_query(media: str, error: QueryError) -> Response:
    if media == "application/json":
        return _json({"error": str(error)}, 400)
    return PlainTextResponse(f"{error}\n", 400)


def _compression(request: Request) -> tuple[bool, dict[str, str]]:
    """Whether to compress the response with gzip, and the headers that say so."""
    gzip = accepts_gzip(_header(request, "accept-encoding"))
    return gzip, {"vary": "Accept-Encoding"} | ({"content-encoding": "gzip"} if gzip else {})


def _max_age(request: Request) -> float:
    """The age of a response, in seconds, that the client accepts explicitly (RFC 9111, 5.2.1.1)."""
    found = _MAX_AGE.search(_header(request, "cache-control"))
    return float(found[1]) if found is not None else 0.0


def _is_cross_site(request: Request) -> bool:
    """Whether a browser sends the request for a page of another site.

    Browsers set these headers, and no page can change them; other clients send neither.
    """
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("origin")
    # the scheme differs behind a proxy that terminates TLS
    return origin is not None and origin.partition("://")[2] != request.headers.get("host")


def _header(request: Request, name: str) -> str:
    """A header's value; a list may be split over several header lines (RFC 9110, 5.3)."""
    return ",".join(request.headers.getlist(name))


def _not_acceptable(*types: str) -> Response:
    text = f"available types: {', '.join(types)}; adjust or omit Accept\n"
    return PlainTextResponse(text, 406, {"vary": "Accept"})


def _json(content: dict[str, Any], status: int) -> Response:
    """A JSON response, indented so that people can read it."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return Response(text, status, media_type="application/json")


def untried(config: Config, store: SnapshotStore, renderer: Renderer) -> list[str]:
    """Connections whose first attempt is not on the page yet, nor had the time that it may take.

    Name resolution has no timeout: a connection that hangs in it must not keep the exporter, whose
    other connections work, from being ready.
    """
    now = time.monotonic()
    shown = renderer.page.connections
    if renderer.failing_seconds(now):  # `/-/healthy` fails if that takes too long
        shown = frozenset(snapshot.connection for snapshot in store.snapshots())
    silent = store.seconds_since_publication(now)
    missing = []
    for name, settings in config.connections.items():
        patience = settings.connect_timeout_seconds + settings.timeout_seconds
        if name not in shown and silent.get(name, 0.0) <= patience:
            missing.append(name)
    return missing


def hung_parts(config: Config, store: SnapshotStore, renderer: Renderer) -> list[str]:
    """The parts of the exporter that have stopped working, each in a sentence."""
    limit = max(_HUNG_AFTER_SECONDS, _HUNG_AFTER_POLLS * config.poll.interval_seconds)
    now = time.monotonic()
    problems = [
        f"the poller of {name} has not finished a poll for {seconds:.0f} s"
        for name, seconds in store.seconds_since_publication(now).items()
        if seconds > limit
    ]
    failing = renderer.failing_seconds(now)
    if failing > limit:
        problems.append(f"the metrics page could not be rendered for {failing:.0f} s; see the log")
    if not renderer.alive:
        problems.append("the metrics renderer has stopped")
    return problems
