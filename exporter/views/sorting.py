"""Sort orders for queues. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # the command line imports `SORTS`, and must start fast
    from exporter.views.overview import QueueView


def _name(view: QueueView) -> tuple[str, str, str]:
    return (view.connection, view.prefix, view.queue)


_ASCENDING: Final[dict[str, Callable[[QueueView], Any]]] = {
    # blocked queues come first, those that are meant to be last of them
    "impact": lambda view: (view.reason is None, view.is_intended, -view.impact),
    "name": _name,
}
_DESCENDING: Final[dict[str, Callable[[QueueView], float | None]]] = {
    "ready": lambda view: view.ready,
    "oldest": lambda view: view.oldest_waiting_seconds,
    "longest": lambda view: view.oldest_active_seconds,
    "waiting": lambda view: view.jobs["waiting"],
    "prioritized": lambda view: view.jobs["prioritized"],
    "active": lambda view: view.jobs["active"],
    "delayed": lambda view: view.jobs["delayed"],
    "children": lambda view: view.jobs["waiting-children"],
    "completed": lambda view: view.jobs["completed"],
    "failed": lambda view: view.jobs["failed"],
    "workers": lambda view: view.workers,
    "added-rate": lambda view: view.added_per_minute,
    "completed-rate": lambda view: view.completed_per_minute,
    "failed-rate": lambda view: view.failed_per_minute,
}
SORTS: Final = ("impact", "name", *_DESCENDING)
"""Sort keys, the default first: `impact` puts blocked queues first, and among them those where most
jobs wait longest; `name` is in ascending order, numbers are in descending order.
"""


def in_order(views: Iterable[QueueView], sort: str, *, reverse: bool = False) -> list[QueueView]:
    """Sort by one of `SORTS`, then by name. Unknown values come last, also in reverse."""
    by_name = sorted(views, key=_name)
    if sort in _ASCENDING:
        return sorted(by_name, key=_ASCENDING[sort], reverse=reverse)
    number = _DESCENDING[sort]
    known = [(value, view) for view in by_name if (value := number(view)) is not None]
    unknown = [view for view in by_name if number(view) is None]
    known.sort(key=itemgetter(0), reverse=not reverse)
    return [view for _, view in known] + unknown
