"""The table that `bullmq-exporter queues` prints. Pure: views in, text out."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Final

from exporter.views.formatting import UNKNOWN, age, counted, printable
from exporter.views.overview import FailureView, Overview, QueueView
from exporter.views.sorting import in_order

_STATES: Final = (
    ("WAITING", "waiting"),
    ("PRIO", "prioritized"),
    ("ACTIVE", "active"),
    ("DELAYED", "delayed"),
    ("CHILDREN", "waiting-children"),
    ("DONE", "completed"),
    ("FAILED", "failed"),
)

_MAX_CLASSES: Final = 3


def choose(overview: Overview, sort: str, pattern: str, *, blocked: bool) -> list[QueueView]:
    """The views whose queue name matches the glob `pattern`, sorted by `sort`."""
    matching = [
        view
        for view in overview.queues
        if fnmatch.fnmatchcase(view.queue, pattern) and (view.reason is not None or not blocked)
    ]
    return in_order(matching, sort)


def table(views: Sequence[QueueView]) -> list[list[str]]:
    """The cells of the header, and of a row per view."""
    headers = ["QUEUE", *(header for header, _ in _STATES), "OLDEST", "WORKERS", "REASON"]
    several = len({view.connection for view in views}) > 1
    return [headers, *(_cells(view, several=several) for view in views)]


def failure_lines(views: Sequence[QueueView]) -> list[str]:
    """Why jobs failed and attempts were retried in the last hour, most frequent class first.

    Up to three lines of each per queue.
    """
    return [
        f"{number} of {printable(f'{view.prefix}:{view.queue}')}: {printable(failure.name)}"
        for view in views
        for number, failure in (
            *((counted(each.count, "failed job"), each) for each in _recent(view.failures)),
            *((f"{each.count:,} sampled as retried", each) for each in _recent(view.retries)),
        )
    ]


def _recent(classes: Sequence[FailureView]) -> list[FailureView]:
    return [each for each in classes if each.recent][:_MAX_CLASSES]


def worker_lines(views: Sequence[QueueView]) -> list[str]:
    """Odd workers, and what to do about them."""
    return [
        f"{printable(f'{view.prefix}:{view.queue}')}: {printable(odd.proof)}; {odd.remedy}"
        for view in views
        for odd in view.odd_workers
    ]


def _cells(view: QueueView, *, several: bool) -> list[str]:
    name = printable(f"{view.prefix}:{view.queue}")
    notes = {True: " (paused)", False: "", None: f" (paused: {UNKNOWN})"}[view.paused]
    notes += f" ({counted(view.groups, 'group')} not counted)" if view.groups else ""
    return [
        (f"{view.connection}  {name}" if several else name)[:60] + notes,
        *(_count(view.jobs[state]) for _, state in _STATES),
        age(view.oldest_waiting_seconds),
        _workers(view),
        view.reason or "",
    ]


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _workers(view: QueueView) -> str:
    if view.workers is None:
        return UNKNOWN
    return f"{view.workers} ({view.idle_workers} idle)" if view.idle_workers else str(view.workers)
