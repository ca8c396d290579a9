"""Everything that is known of one queue, for its page and for `/health/queue`. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any, Final
from urllib.parse import quote

from exporter.collectors.queues.subjects.active import OLDEST_ACTIVE_JOB
from exporter.collectors.queues.subjects.events_stream import (
    EVENTS_STREAM_BYTES,
    EVENTS_STREAM_LENGTH,
)
from exporter.collectors.queues.subjects.limits import RATE_LIMIT_REMAINING, RATE_LIMITED
from exporter.collectors.queues.subjects.movement import READY_SINCE, STILL_SINCE
from exporter.collectors.queues.subjects.scheduled import (
    DELAYED_OVERDUE_SECONDS,
    FIRST_SCHEDULERS,
    SCHEDULERS,
    SCHEDULERS_OVERDUE,
    SCHEDULERS_OVERDUE_SECONDS,
)
from exporter.collectors.queues.subjects.settings import CONCURRENCY_LIMIT, LIBRARY_VERSION
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING_JOB
from exporter.config.models import NO_TARGET, Target
from exporter.diagnosis import Database
from exporter.findings import Finding, Status
from exporter.parsing import id_text
from exporter.state.queue_history import QueueHistory
from exporter.views.find_queue import QueueKey, QueueQuery, find_queue, similar_queues
from exporter.views.formatting import age, counted
from exporter.views.overview import QueueView, queue_view
from exporter.views.queue_commands import QueueCommand, queue_commands
from exporter.views.scaling import Scaling, scaling
from exporter.views.scheduler_runs import SchedulerView, scheduler_views
from exporter.web.background import Known
from exporter.web.scale import scale_json

_MAX_FINDINGS: Final = 20
_MAX_NAMED: Final = 200


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What limits or describes a queue; None is unknown, or not set."""

    concurrency_limit: int | None
    rate_limited: bool | None
    """Whether the limit of the current window is reached."""
    rate_limit_remaining_seconds: float | None
    library_version: str | None
    events_stream_length: int | None
    events_stream_bytes: int | None


@dataclass(frozen=True, slots=True)
class Schedulers:
    """Job schedulers of a queue; None is unknown."""

    total: int | None
    overdue: int | None
    overdue_seconds: float | None
    """How late the latest is."""
    first: tuple[SchedulerView, ...]
    """Up to ten, those whose time comes first."""


@dataclass(frozen=True, slots=True)
class QueueDetail:
    """One queue, looked at closely."""

    view: QueueView
    time: float
    """Unix time at which this was known."""
    status: Status
    headline: str
    since: float | None
    """Unix time since when the queue is blocked for this reason, as far as the exporter has seen;
    None if it is not blocked, or unknown."""
    findings: tuple[Finding, ...]
    """About the queue, or about the connection that reads it; the worst first."""
    symptoms: tuple[Finding, ...]
    """Those of them that others explain."""
    scaling: Scaling
    settings: QueueSettings
    oldest_waiting_job: str | None
    """The ID of the job that is ready for longest, truncated; None if there is none, or if it is
    unknown, like the next one."""
    oldest_active_job: str | None
    schedulers: Schedulers
    delayed_overdue_seconds: float | None
    target: Target
    target_drain_seconds: float
    history: QueueHistory | None
    commands: tuple[QueueCommand, ...]
    links: tuple[tuple[str, str], ...]
    """Name and URL of each of `web.links`."""

    def as_json(self) -> dict[str, Any]:
        """As plain values; what is unknown is null."""
        return {
            "status": self.status.name.lower(),
            "verdict": self.headline,
            "since": self.since,
            "findings": [each.as_json() for each in self.findings],
            "symptoms": [each.as_json() for each in self.symptoms],
            "queue": self.view.as_json(),
            "scale": scale_json(
                self.scaling, self.view.oldest_waiting_seconds, self.target_drain_seconds
            ),
            "settings": asdict(self.settings),
            "oldest_waiting_job": self.oldest_waiting_job,
            "oldest_active_job": self.oldest_active_job,
            "schedulers": asdict(self.schedulers),
            "delayed_overdue_seconds": self.delayed_overdue_seconds,
            "target": self.target.model_dump(),
            "history": _history_json(self.history),
            "commands": {each.purpose: each.text for each in self.commands},
            "links": dict(self.links),
        }


def queue_detail(known: Known, database: Database, row: int) -> QueueDetail:
    """The queue in a row of the database's table."""
    moment, table = known.moment, database.table
    queue, name = table.queues[row], database.connection
    view = queue_view(moment, database, row)
    findings = tuple(_about(known.verdict.findings, view))
    symptoms = tuple(_about(known.verdict.symptoms, view))
    status, headline = _verdict(known, database, row, view, (*findings, *symptoms))
    target = moment.config.scaling.drain_seconds
    return QueueDetail(
        view=view,
        time=moment.time,
        status=status,
        headline=headline,
        since=moment.stored.histories.blocked_since(name, queue) if view.reason else None,
        findings=findings,
        symptoms=symptoms,
        scaling=scaling(moment, database, row, target),
        settings=QueueSettings(
            concurrency_limit=table.value(CONCURRENCY_LIMIT, row),
            rate_limited=table.flag(RATE_LIMITED, row),
            rate_limit_remaining_seconds=table.value(RATE_LIMIT_REMAINING, row),
            library_version=table.value(LIBRARY_VERSION, row),
            events_stream_length=table.value(EVENTS_STREAM_LENGTH, row),
            events_stream_bytes=table.value(EVENTS_STREAM_BYTES, row),
        ),
        oldest_waiting_job=_id(table.value(OLDEST_WAITING_JOB, row)),
        oldest_active_job=_id(table.value(OLDEST_ACTIVE_JOB, row)),
        schedulers=Schedulers(
            table.value(SCHEDULERS, row),
            table.value(SCHEDULERS_OVERDUE, row),
            table.value(SCHEDULERS_OVERDUE_SECONDS, row),
            scheduler_views(table.value(FIRST_SCHEDULERS, row)),
        ),
        delayed_overdue_seconds=table.value(DELAYED_OVERDUE_SECONDS, row),
        target=moment.targets.get(queue.name, NO_TARGET),
        target_drain_seconds=target,
        history=moment.stored.histories.of(name, queue, moment.now, moment.time),
        commands=queue_commands(
            queue, moment.config.connections[name], moment.known[name].metadata
        ),
        links=tuple(
            (text, filled_link(template, view))
            for text, template in moment.config.web.links.items()
        ),
    )


def _id(job: bytes | None) -> str | None:
    return None if job is None else id_text(job)


def queue_health(known: Known, query: QueueQuery) -> tuple[dict[str, Any], int]:
    """The response of `/health/queue` and its status: as that of the page."""
    found = find_queue(known.moment, query)
    if found.one is not None:
        return queue_detail(known, *found.one).as_json(), 200
    if found.queues:
        error = "several queues have this name; add connection or prefix"
        return {"error": error, "queues": _named(found.keys()[:_MAX_NAMED])}, 300
    if found.unread:
        return {"error": f"the queues of {', '.join(found.unread)} are not known now"}, 503
    similar = similar_queues(known.moment, query)
    return {"error": "no such queue", "similar": _named(similar)}, 404


def _named(keys: Sequence[QueueKey]) -> list[dict[str, str]]:
    return [{"connection": key[0], "prefix": key[1], "queue": key[2]} for key in keys]


def filled_link(template: str, view: QueueView) -> str:
    """The URL of a link for a queue; names are percent-encoded."""
    names = {"connection": view.connection, "prefix": view.prefix, "queue": view.queue}
    for name, value in names.items():
        template = template.replace(f"{{{name}}}", quote(value, safe="", errors="replace"))
    return template


def _about(findings: tuple[Finding, ...], view: QueueView) -> Iterator[Finding]:
    """The findings about a queue, and those about its whole connection."""
    queue = (view.prefix, view.queue)
    shown = 0
    for finding in findings:
        labels = finding.labels
        here = view.connection in (labels.get("connection"), labels.get("producer_connection"))
        what = (labels.get("prefix"), labels.get("queue"))
        if here and what in (queue, (None, None)) and shown < _MAX_FINDINGS:
            shown += 1
            yield finding


def _verdict(
    known: Known, database: Database, row: int, view: QueueView, found: tuple[Finding, ...]
) -> tuple[Status, str]:
    """How bad it is, and the sentence that says so. What is unknown is not well."""
    worst = min(found, key=lambda finding: finding.status, default=None)
    if worst is not None and worst.status < Status.UNKNOWN:
        return worst.status, worst.headline
    if view.reason is not None:
        return Status.INFO, f"Blocked on purpose: {view.reason.replace('_', ' ')}"
    if view.ready is None:
        return Status.UNKNOWN, "The numbers of jobs are unknown"
    left = _watched_in(known, database, row, view)
    if left is not None:
        return Status.UNKNOWN, f"Watching whether jobs move: verdict in {left:.0f} s"
    if worst is not None:
        return worst.status, worst.headline
    ready = counted(view.ready, "job")
    return Status.OK, f"No problem found: {ready} ready" + (
        f", the oldest for {age(view.oldest_waiting_seconds)}" if view.ready else ""
    )


def _watched_in(known: Known, database: Database, row: int, view: QueueView) -> float | None:
    """Seconds until it is known whether old jobs move; None if it is, or if none are old."""
    moment, table = known.moment, database.table
    since, still = table.value(READY_SINCE, row), table.value(STILL_SINCE, row)
    if since is None or since != still or (view.oldest_waiting_seconds or 0) < moment.blocked_after:
        return None
    left = moment.blocked_after - (moment.now - since)
    return left if left > 0 else None


def _history_json(history: QueueHistory | None) -> dict[str, Any] | None:
    if history is None:
        return None
    columns = zip(*history.points, strict=True)
    names = history.points[0]._fields if history.points else ()
    values = ([None if isnan(each) else round(each, 3) for each in column] for column in columns)
    return {
        "step_seconds": history.step_seconds,
        "age_seconds": round(history.age_seconds, 3),
        **dict(zip(names, values, strict=True)),
        "changes": [change._asdict() for change in history.changes],
    }
