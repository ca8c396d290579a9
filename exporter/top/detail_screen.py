"""One queue, looked at closely: what its page shows, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isnan, nan
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from exporter.findings import Finding
from exporter.top.parts import MARKS
from exporter.top.rows import Look
from exporter.top.scrolled import scrolled_screen
from exporter.top.session import Session
from exporter.top.text import safe, sparkline
from exporter.views.drain_text import drain_text
from exporter.views.find_queue import QueueKey, QueueQuery, find_queue
from exporter.views.formatting import UNKNOWN, age, clock, number, rate, size
from exporter.views.overview import FailureView
from exporter.web.queue_detail import QueueDetail, queue_detail

_STATES: Final = {
    "waiting": "waiting",
    "prioritized": "with priority",
    "active": "active",
    "delayed": "delayed",
    "waiting-children": "waiting for children",
    "completed": "completed",
    "failed": "failed",
}
_CHARTS: Final = (
    ("ready", "Ready", number),
    ("oldest_seconds", "Oldest ready", age),
    ("added", "Added/m", rate),
    ("completed", "Completed/m", rate),
    ("failed", "Failed/m", rate),
    ("workers", "Workers", number),
)
_MAX_CHART: Final = 60
_CHART_LABELS: Final = 40
"""Cells of a chart's name and numbers."""


def detail_screen(
    look: Look, key: QueueKey, session: Session, console: Console, clock_text: str
) -> Group:
    """The whole screen; takes over into the session which lines are shown."""
    name = safe(f"{key[2]} · {key[0]} · {key[1]}")
    found = find_queue(look.moment, QueueQuery(key[2], key[1], key[0])).one
    if found is None:
        verdict = look.known.verdict
        status, headline = verdict.status, verdict.headline
        gone = Text("\nThe queue is not known now: it is gone, or Redis is.")
        parts: Iterable[RenderableType] = [gone]
    else:
        detail = queue_detail(look.known, *found)
        status, headline = detail.status, detail.headline
        parts = _sections(detail, console.width)
    return scrolled_screen(name, clock_text, status, headline, parts, session, console)


def _sections(detail: QueueDetail, width: int) -> Iterator[RenderableType]:
    yield from _verdict(detail)
    yield from _section("Jobs", [_jobs(detail)])
    yield from _section("The last hour", _charts(detail, width))
    drain = drain_text(detail.scaling, detail.target_drain_seconds)
    text = f"{drain.answer} {drain.workers}".strip()
    yield from _section("When is the backlog gone?", [text, drain.rests_on])
    yield from _section("Stuck jobs", _stuck(detail))
    yield from _section("Workers", _workers(detail))
    yield from _section("Schedulers", _schedulers(detail))
    yield from _section("Why jobs failed", _failures(detail.view.failures, "failed"))
    retries = _failures(detail.view.retries, "sampled as retried")
    yield from _section("Why attempts were retried", retries)
    yield from _section("Settings", [_settings(detail)])
    yield from _section("Look closer", [*_links(detail)])


def _section(heading: str, lines: Iterable[str | Text]) -> Iterator[RenderableType]:
    """A heading and its lines; nothing if there are none. What is too long goes on below."""
    texts = [line if isinstance(line, Text) else Text(safe(line)) for line in lines]
    if texts:
        yield Text()
        yield Text(heading, style="bold underline")
        for text in texts:
            text.overflow = "fold"
            yield Padding(text, (0, 0, 0, 2))


def _verdict(detail: QueueDetail) -> Iterator[RenderableType]:
    view = detail.view
    if view.reason:
        text = f"Blocked by {view.reason.replace('_', ' ')}: {view.hint}."
        if detail.since is not None:
            since = age(detail.time - detail.since)
            text += f" Since {clock(detail.since)} ({since}), as far as this exporter has seen."
        yield Text(safe(text), overflow="fold")
    for finding in detail.findings:
        yield from _finding(finding, "", skipped=(detail.headline, view.hint or ""))
    for finding in detail.symptoms:
        yield from _finding(finding, " (explained by another finding)", skipped=())


def _finding(finding: Finding, note: str, skipped: Sequence[str]) -> Iterator[RenderableType]:
    mark, style = MARKS[finding.status]
    if finding.headline not in skipped:
        yield Text(safe(f"{mark} {finding.headline}{note}"), style=style, overflow="fold")
    if finding.explanation not in (finding.headline, "", *skipped):
        yield Padding(Text(safe(finding.explanation), overflow="fold"), (0, 0, 0, 2))
    if finding.alert is not None:
        yield Padding(Text(f"Alert {finding.alert.full_name}", style="dim"), (0, 0, 0, 2))


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return " · ".join(f"{name}: {value}" for name, value in facts)


def _jobs(detail: QueueDetail) -> str:
    view = detail.view
    facts = [(_STATES.get(state, state), number(jobs)) for state, jobs in view.jobs.items()]
    facts += [
        ("oldest ready", _aged(view.oldest_waiting_seconds, detail.oldest_waiting_job)),
        ("longest active", _aged(view.oldest_active_seconds, detail.oldest_active_job)),
    ]
    if view.delayed_overdue_jobs:
        overdue = age(detail.delayed_overdue_seconds)
        facts += [("delayed, overdue", f"{view.delayed_overdue_jobs:,} by up to {overdue}")]
    if view.groups:
        facts += [("groups", f"{view.groups:,}, whose jobs are not counted")]
    return _facts(facts)


def _aged(seconds: float | None, job: str | None) -> str:
    return age(seconds) if job is None else f"{age(seconds)}, job {job}"


def _charts(detail: QueueDetail, width: int) -> Iterator[str | Text]:
    history = detail.history
    points = history.points if history is not None else ()
    if not points:
        yield "Unknown: the queue was not watched long enough."
        return
    cells = max(8, min(_MAX_CHART, width - _CHART_LABELS))
    for field, label, text in _CHARTS:
        values = [getattr(point, field) for point in points]
        known = [value for value in values if not isnan(value)]
        now = text(values[-1]) if not isnan(values[-1]) else UNKNOWN
        most = text(max(known)) if known else UNKNOWN
        line = Text(f"{label:<13}")
        line.append(sparkline(condensed(values, cells), cells), style="cyan")
        line.append(f"  now {now}, at most {most}")
        yield line
    for change in history.changes if history is not None else ():
        what = f"blocked: {change.reason.replace('_', ' ')}" if change.reason else "free again"
        yield f"{clock(change.time)} {what}"


def condensed(values: Sequence[float], cells: int) -> list[float]:
    """The means of neighboring values, so that there are at most `cells`; NaN is unknown."""
    each = -(-len(values) // cells)
    first = len(values) % each
    groups = [values[:first]] if first else []
    groups += [values[place : place + each] for place in range(first, len(values), each)]
    return [_mean([value for value in group if not isnan(value)]) for group in groups]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else nan


def _stuck(detail: QueueDetail) -> Iterator[str]:
    for job in detail.view.stuck:
        since = f" for {age(detail.time - job.since)}" if job.since is not None else ""
        yield f"{job.kind} {job.id}{since}: {job.proof}; {job.remedy}"


def _workers(detail: QueueDetail) -> Iterator[str]:
    view = detail.view
    if view.workers is None:
        yield "Unknown: Redis lists no worker of this queue, but there may be some."
    elif not view.workers:
        yield "No worker is connected."
    else:
        idle = UNKNOWN if view.idle_workers is None else f"{view.idle_workers:,}"
        yield f"{view.workers:,} connected, {idle} waiting for a job."
    for odd in view.odd_workers:
        yield f"{odd.proof}; {odd.remedy}"
    for worker in view.worker_connections or ():
        waits = "waits for a job"
        if not worker.waiting:
            waits = f"has not waited for {age(worker.idle_seconds)}"
        name = worker.name or "no name"
        connected = f"connected for {age(worker.connected_seconds)}"
        yield (
            " ".join(filter(None, (name, worker.address, worker.client, connected))) + f", {waits}"
        )


def _schedulers(detail: QueueDetail) -> Iterator[str]:
    schedulers = detail.schedulers
    for each in schedulers.first:
        yield f"{each.id}: {each.text(detail.time)}"
    more = (schedulers.total or 0) - len(schedulers.first)
    if schedulers.first and more > 0:
        yield f"and {more:,} more"


def _failures(classes: Iterable[FailureView], what: str) -> Iterator[str]:
    for each in classes:
        last = f"the last {clock(each.last_seen)}, job {each.job}"
        yield f"{each.count:,} {what}, {last}: {each.name}"
        if each.example != each.name:
            yield f"  {each.example}"


def _settings(detail: QueueDetail) -> str:
    settings, schedulers = detail.settings, detail.schedulers
    known = settings.library_version is not None
    limit, stream = settings.concurrency_limit, number(settings.events_stream_length)
    if settings.events_stream_bytes is not None:
        stream += f" entries, {size(settings.events_stream_bytes)}"
    late = f", {schedulers.overdue:,} late" if schedulers.overdue else ""
    facts = [
        ("paused", {True: "yes", False: "no", None: UNKNOWN}[detail.view.paused]),
        ("concurrency limit", number(limit) if limit is not None else "none" if known else UNKNOWN),
        ("written by", (settings.library_version or "an old version") if known else UNKNOWN),
        ("event stream", stream),
        ("schedulers", number(schedulers.total) + late),
    ]
    if settings.rate_limit_remaining_seconds:
        state = {True: "reached", False: "not reached", None: "in a window"}
        left = age(settings.rate_limit_remaining_seconds)
        facts.insert(2, ("rate limit", f"{state[settings.rate_limited]}, for {left}"))
    return _facts(facts + list(_targets(detail)))


def _targets(detail: QueueDetail) -> Iterator[tuple[str, str]]:
    target = detail.target
    if target.wait_seconds:
        yield "target wait", age(target.wait_seconds)
    if target.run_seconds:
        yield "target run", age(target.run_seconds)
    if target.failure_ratio is not None:
        yield "target failures", f"{target.failure_ratio * 100:g} %"
    if target.silent_seconds:
        yield "target silent", age(target.silent_seconds)


def _links(detail: QueueDetail) -> Iterator[str]:
    for name, url in detail.links:
        yield f"{name}: {url}"
    for command in detail.commands:
        yield f"{command.purpose}: {command.text}"
