"""The page of one queue; where the name is not enough, those to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from exporter import __version__
from exporter.exposition import join_gzip
from exporter.findings import Status
from exporter.views.drain_text import drain_text
from exporter.views.find_queue import Found, QueueKey, QueueQuery, find_queue, similar_queues
from exporter.views.formatting import counted
from exporter.web.background import Known
from exporter.web.queue_detail import queue_detail
from exporter.web.status.assets import QUEUE_STYLE, STYLE
from exporter.web.status.charts import HEIGHT, WIDTH, charts, marks
from exporter.web.status.templates import environment

_MAX_CHOICES: Final = 200


@cache
def _templates() -> Any:
    return environment().get_template("queue.html.j2").module


def queue_page(known: Known, query: QueueQuery, *, gzip: bool) -> tuple[bytes, int]:
    """The page and its status: 300 if several queues are meant, 404 if none, 503 if unknown."""
    text, status = _page(known, query)
    body = text.encode("utf-8", "replace")
    return (join_gzip([body]) if gzip else body), status


def _page(known: Known, query: QueueQuery) -> tuple[str, int]:
    moment = known.moment
    found = find_queue(moment, query)
    if found.one is None:
        return _choice(known, query, found)
    detail = queue_detail(known, *found.one)
    first = next((each for each in detail.findings if each.headline == detail.headline), None)
    page = _templates().page(
        detail=detail,
        first=first,
        others=[each for each in detail.findings if each is not first],
        drain=drain_text(detail.scaling, detail.target_drain_seconds),
        charts=charts(detail.history),
        changes=marks(detail.history, detail.time),
        width=WIDTH,
        height=HEIGHT,
        version=__version__,
        styles=(STYLE.path, QUEUE_STYLE.path),
    )
    return str(page), 200


def _choice(known: Known, query: QueueQuery, found: Found) -> tuple[str, int]:
    """The page that says which queues there are instead."""
    keys: Sequence[QueueKey] = found.keys()
    level, status = Status.UNKNOWN, 300
    if keys:
        title = f"{counted(len(keys), 'queue')} named {query.name}"
        text = "Choose one:"
        if len(keys) > _MAX_CHOICES:
            text = f"The first {_MAX_CHOICES}:"
    elif found.unread:
        title, status = f"{query.name} is not known now", 503
        text = f"The queues of {', '.join(found.unread)} could not be read, or not yet."
    else:
        keys = similar_queues(known.moment, query)
        title, status = f"No queue named {query.name}", 404
        text = "Queues with a similar name:" if keys else "No queue has a similar name, either."
    page = _templates().choice(
        title=title,
        text=text,
        keys=keys[:_MAX_CHOICES],
        status=level.value,
        time=known.moment.time,
        version=__version__,
        styles=(STYLE.path, QUEUE_STYLE.path),
    )
    return str(page), status
