"""`/scale`: what an autoscaler needs of one queue, in less than a kilobyte. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING
from exporter.parsing import finite
from exporter.views.find_queue import QueueQuery, find_queue
from exporter.views.parameters import QueryError
from exporter.views.scaling import Scaling, scaling
from exporter.web.background import Known

_MAX_TARGET_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ScaleQuery:
    """Which queue, and within which time its backlog should be gone."""

    queue: QueueQuery
    drain_seconds: float | None
    """None: as in the configuration."""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> ScaleQuery:
        """Parse the query string. Raises `QueryError`."""
        queue = QueueQuery.of(parameters, "drain_seconds")
        text = parameters.get("drain_seconds", "")
        if not text:
            return cls(queue, None)
        seconds = finite(text.encode("utf-8", "replace"))
        if seconds is None or not 0 < seconds <= _MAX_TARGET_SECONDS:
            limits = f"a number above 0, of {_MAX_TARGET_SECONDS} at most"
            raise QueryError(f"drain_seconds: use {limits}")
        return cls(queue, seconds)


def scale(known: Known, query: ScaleQuery) -> tuple[dict[str, Any], int]:
    """The response and its status: an autoscaler must not take an error for a number."""
    moment = known.moment
    found = find_queue(moment, query.queue)
    if len(found.queues) > 1:
        error = "several queues have this name; add connection or prefix"
        return {"error": error, "number": len(found.queues)}, 300
    if found.one is None:
        if found.unread:
            error = f"the queues of {', '.join(found.unread)[:200]} are not known now"
            return {"error": error}, 503
        return {"error": "no such queue; /health/queues lists all"}, 404
    database, row = found.one
    target = query.drain_seconds or moment.config.scaling.drain_seconds
    oldest = database.table.value(OLDEST_WAITING, row)
    return scale_json(scaling(moment, database, row, target), oldest, target), 200


def scale_json(found: Scaling, oldest: float | None, target: float) -> dict[str, Any]:
    """The queue as plain values; null is unknown, and no drain time if it is never."""
    load, outlook = found.load, found.outlook
    drain = outlook.drain_seconds
    never = drain == inf
    return {
        "ready": load.ready,
        "active": load.active,
        "workers": load.workers,
        "oldest_seconds": _rounded(oldest),
        "arrival_rate": _rounded(outlook.arrival_rate),
        "finish_rate": _rounded(outlook.finish_rate),
        "mean_run_seconds": _rounded(load.mean_run_seconds),
        "drain_seconds": None if never else _rounded(drain),
        "drains": None if drain is None else not never,
        "target_drain_seconds": target,
        "workers_needed": outlook.workers_needed,
        "blocked": load.reason.value if load.reason is not None else None,
        "more_workers_help": False if load.obstacle else True if load.obstacle_known else None,
        "obstacle": load.obstacle.value if load.obstacle is not None else None,
        "rests_on_seconds": found.trend.seconds if found.trend is not None else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
