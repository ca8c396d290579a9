"""In which order queues are shown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # the command line takes `SORTS` from here, and must start fast
    from exporter.views.overview import QueueView


def _name(view: QueueView) -> tuple[str, str, str]:
    return (view.connection, view.prefix, view.queue)


_TEXTS: Final[dict[str, Callable[[QueueView], Any]]] = {
    "name": _name,
    # those with a reason come first
    "reason": lambda view: (view.reason is None, view.reason or ""),
}
_NUMBERS: Final[dict[str, Callable[[QueueView], float | None]]] = {
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
SORTS: Final = ("name", "reason", *_NUMBERS)
"""What queues can be sorted by: texts from their beginning, numbers from the largest."""


def in_order(views: Iterable[QueueView], sort: str, *, backwards: bool = False) -> list[QueueView]:
    """Sorted by one of `SORTS`, then by name; what is not known comes last either way."""
    found = sorted(views, key=_name)
    if sort in _TEXTS:
        return sorted(found, key=_TEXTS[sort], reverse=backwards)
    number = _NUMBERS[sort]
    known = [(value, view) for view in found if (value := number(view)) is not None]
    unknown = [view for view in found if number(view) is None]
    known.sort(key=itemgetter(0), reverse=not backwards)
    return [view for _, view in known] + unknown
