"""The one verdict: what is wrong, what is not known, and what is the cause of what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf
from operator import itemgetter
from typing import Any, Final

from exporter.collectors.queues.subjects.movement import READY_SINCE, STILL_SINCE
from exporter.collectors.queues.subjects.waiting import CLOCK_SKEW, OLDEST_WAITING
from exporter.config.models import NO_TARGET
from exporter.diagnosis import one_node
from exporter.findings.conditions import CAUSES, CONDITIONS
from exporter.findings.model import Finding, Status
from exporter.rules.alerts import ALERTS
from exporter.rules.model import Severity
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered, EventFacts, Snapshot
from exporter.views.formatting import age, counted, printable
from exporter.views.moment import Moment

_STATUS: Final = {
    Severity.CRITICAL: Status.CRITICAL,
    Severity.WARNING: Status.WARNING,
    Severity.INFO: Status.INFO,
}
_MAX_NAMED: Final = 3
"""Subjects that a headline names."""
_MAX_DETAILS: Final = 5
"""Explanations below a headline."""
_MAX_EXPLAINED: Final = 20
"""Findings of a group whose explanations are compared."""


@dataclass(frozen=True, slots=True)
class Group:
    """All findings of one alert, or one finding without an alert."""

    status: Status
    headline: str
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of everything, in one line and in groups, the worst first."""

    status: Status
    headline: str
    groups: tuple[Group, ...]
    findings: tuple[Finding, ...]
    """What holds and is not explained by another finding, the worst and largest first."""
    symptoms: tuple[Finding, ...]
    """What holds, and is explained by one of `findings`."""

    @property
    def ok(self) -> bool:
        """Whether nothing needs attention, and everything is known."""
        return self.status in (Status.OK, Status.INFO)

    def lines(self) -> list[str]:
        """The verdict for a terminal: explanations first, the headline last."""
        several = len(self.groups) > 1
        lines = []
        for group in self.groups:
            lines += [group.headline] if several else []
            lines += [f"  {detail}" for detail in group.details]
        return [*lines, self.headline]

    def as_json(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return {
            "status": self.status.name.lower(),
            "verdict": self.headline,
            "findings": [finding.as_json() for finding in self.findings[:100]],
            "symptoms": [finding.as_json() for finding in self.symptoms[:100]],
        }


def verdict_of(moment: Moment) -> Verdict:
    """Evaluate every alert, and find what is not known."""
    found = [*_alerting(moment), *_unknown(moment)]
    # by status, within it by impact: two passes with plain keys take half the time of one
    found.sort(key=_impact, reverse=True)
    found.sort(key=itemgetter(0))
    explained = _explained(found)
    causes = tuple([each for each in found if id(each) not in explained])
    symptoms = tuple([each for each in found if id(each) in explained]) if explained else ()
    groups = tuple(_groups(causes, moment))
    status = min((finding.status for finding in causes), default=Status.OK)
    return Verdict(status, _headline(groups, moment), groups, causes, symptoms)


# --- findings ------------------------------------------------------------------------------------


def _alerting(moment: Moment) -> Iterator[Finding]:
    for alert in ALERTS:
        condition = CONDITIONS.get(alert.name)
        if condition is None:
            continue
        limits = {name: setting.value for name, setting in alert.all_settings().items()}
        status = _STATUS[alert.severity]
        for hit in condition(moment, limits):
            yield Finding(status, hit, alert)


def _impact(finding: Finding) -> float:
    return finding.hit.impact


def _unknown(moment: Moment) -> Iterator[Finding]:
    """What is unknown, or not known yet. It has no alert: it passes, or an alert follows."""
    tried = {snapshot.connection for snapshot in moment.snapshots}
    waiting = [name for name in moment.config.connections if name not in tried]
    if waiting:
        yield Finding.without_alert(Status.UNKNOWN, f"Starting: {_list(waiting)} not tried yet")
    for snapshot in moment.snapshots:
        name = snapshot.connection
        if moment.is_up(snapshot):
            yield from _server_unknown(snapshot)
        if moment.owners[name] == name and moment.is_up(snapshot):
            yield from _one_node(snapshot)
            yield from _unread(snapshot, moment)
    yield from _unreadable_counts(moment)
    yield from _clocks(moment)
    yield from _never_added(moment)
    yield from _watching(moment)


def _one_node(snapshot: Snapshot) -> Iterator[Finding]:
    """No alert: it is an error in the configuration, which shows as soon as it is made."""
    remedy = one_node(snapshot)
    if remedy is not None:
        headline = f"Only a part of the queues of {snapshot.connection} is read"
        yield Finding.without_alert(Status.CRITICAL, headline, remedy, impact=inf)


def _unread(snapshot: Snapshot, moment: Moment) -> Iterator[Finding]:
    """What the collectors of a connection have not read."""
    name = snapshot.connection
    queues, discovery = snapshot.reports.get("queues"), snapshot.reports.get("discovery")
    if moment.facts(snapshot, QueueTable) is None and queues is not None and queues.last_error:
        text = f"{queues.last_error.kind}: {printable(queues.last_error.text)}"
        yield Finding.without_alert(Status.WARNING, f"The queues of {name} cannot be read", text)
    elif moment.facts(snapshot, Discovered) is None and not (
        discovery is not None and discovery.not_available
    ):
        yield Finding.without_alert(Status.UNKNOWN, f"Discovering the queues of {name}")
    workers = snapshot.reports.get("workers")
    if workers is not None and workers.not_available:
        yield Finding.without_alert(
            Status.INFO,
            f"The number of workers of {name} is unknown",
            "Redis does not list its clients; workers are known by their locks and stalled-check",
        )


def _server_unknown(snapshot: Snapshot) -> Iterator[Finding]:
    """No alert: CommandsRefused is about queues, and some providers refuse INFO for good."""
    server = snapshot.reports.get("server")
    if server is not None and "info" in server.not_available:
        yield Finding.without_alert(
            Status.UNKNOWN,
            f"The state of the Redis of {snapshot.connection} is unknown",
            "it refuses INFO, so its memory, eviction policy and persistence cannot be checked",
            labels={"connection": snapshot.connection},
        )


def _unreadable_counts(moment: Moment) -> Iterator[Finding]:
    for database in moment.databases:
        unknown = [
            printable(queue.name)
            for queue, ready in zip(database.table.queues, database.table.ready, strict=True)
            if ready is None
        ]
        if unknown:
            yield Finding.without_alert(
                Status.UNKNOWN,
                f"Ready jobs unknown: {counted(len(unknown), 'queue')} of {database.connection}",
                f"the numbers of jobs of {_list(unknown)} could not be read; the log has the error",
                labels={"connection": database.connection},
            )


def _never_added(moment: Moment) -> Iterator[Finding]:
    """Queues that must not be silent, and whose events are not read."""
    for database in moment.databases:
        facts = moment.facts(moment.known[database.connection], EventFacts)
        events = facts.queues if facts is not None else {}
        unknown = [
            printable(queue.name)
            for queue in (database.table.queues if moment.targets else ())
            if moment.targets.get(queue.name, NO_TARGET).silent_seconds is not None
            and (queue not in events or events[queue].last_added is None)
        ]
        if unknown:
            yield Finding.without_alert(
                Status.UNKNOWN,
                f"Last added job unknown: {counted(len(unknown), 'queue')} of "
                f"{database.connection}",
                f"no event of {_list(unknown)} was read, so silent_seconds cannot be checked; see "
                "events.enabled, and opts.maxLenEvents of the queue",
                labels={"connection": database.connection},
            )


def _clocks(moment: Moment) -> Iterator[Finding]:
    """No alert: jobs run all the same; ages that other clocks make wrong are not shown."""
    for database in moment.databases:
        skews = zip(database.table.queues, database.table.column(CLOCK_SKEW), strict=True)
        found = [(queue, skew) for queue, skew in skews if skew is not None]
        if found:
            queue, skew = max(found, key=lambda each: abs(each[1]))
            where = "ahead of" if skew > 0 else "behind"
            yield Finding.without_alert(
                Status.WARNING,
                f"Clocks differ: a producer of {printable(queue.name)} is {abs(skew):,.0f} s "
                f"{where} the Redis of {database.connection}",
                "set the clocks of all services and of Redis by NTP; ages of these jobs are by the "
                "clock of Redis, or unknown",
                labels={"connection": database.connection},
            )


def _watching(moment: Moment) -> Iterator[Finding]:
    """Queues with old ready jobs that have not been watched long enough to know if they move."""
    count, longest = 0, 0.0
    for database in moment.databases:
        table = database.table
        rows = zip(
            table.column(READY_SINCE),
            table.column(STILL_SINCE),
            table.column(OLDEST_WAITING),
            moment.diagnosis.reasons[database.connection],
            strict=True,
        )
        for ready_since, still_since, oldest, reason in rows:
            if ready_since is None or still_since is None or (oldest or 0.0) < moment.blocked_after:
                continue
            left = moment.blocked_after - (moment.now - still_since)
            if left > 0 and still_since == ready_since and reason is None:
                count, longest = count + 1, max(longest, left)
    if count:
        yield Finding.without_alert(
            Status.UNKNOWN,
            f"Watching {counted(count, 'queue')}: verdict in {longest:.0f} s",
            "old jobs are ready there; whether they move is known after watching them",
        )


_Subject = tuple[str, ...]


def _explained(found: Sequence[Finding]) -> set[int]:
    """The findings that another one explains, by identity."""
    by_name: dict[str, list[Finding]] = defaultdict(list)
    for finding in found:
        if finding.alert is not None:
            by_name[finding.alert.name].append(finding)
    causes: dict[str, list[str]] = defaultdict(list)
    for name, symptoms in CAUSES.items():
        for symptom in symptoms if name in by_name else ():
            if symptom in by_name:
                causes[symptom].append(name)
    subjects = {
        name: set().union(*map(_subjects, by_name[name])) for name in {*chain(*causes.values())}
    }
    return {
        id(finding)
        for symptom, names in causes.items()
        for finding in _about(by_name[symptom], set().union(*[subjects[each] for each in names]))
    }


def _subjects(cause: Finding) -> Sequence[_Subject]:
    """What a cause is about: a queue of a connection, or a whole connection."""
    labels = cause.hit.labels
    if "producer_connection" in labels:
        here, there = labels["producer_connection"], labels["worker_connection"]
        queue = (here, labels["prefix"], labels["queue"])
        return (queue, (here, there), (there, here))
    if "queue" in labels:
        return ((labels["connection"], labels["prefix"], labels["queue"]),)
    return ((labels.get("connection", ""),),)


def _about(findings: Sequence[Finding], subjects: set[_Subject]) -> Iterator[Finding]:
    """The findings that are about one of the subjects, or about a part of it."""
    for finding in findings:
        labels = finding.hit.labels
        if "writer" in labels:
            writer, reader = labels["writer"], labels["reader"]
            about: Sequence[_Subject] = ((writer, reader), (writer,), (reader,))
        else:
            connection = labels.get("connection", "")
            queue = (connection, labels.get("prefix", ""), labels.get("queue", ""))
            about = (queue, (connection,))
        if not subjects.isdisjoint(about):
            yield finding


# --- text ----------------------------------------------------------------------------------------


def _groups(findings: Sequence[Finding], moment: Moment) -> Iterator[Group]:
    """The findings of one alert together, in the order of their worst."""
    by_alert: dict[str, list[Finding]] = defaultdict(list)
    for place, finding in enumerate(findings):
        name = f"unknown {place}" if finding.alert is None else finding.alert.name
        by_alert[name].append(finding)
    for members in by_alert.values():
        first = members[0]
        yield Group(
            first.status,
            first.headline if len(members) == 1 else _together(members, moment),
            tuple(_details(members, moment)),
        )


def _together(members: Sequence[Finding], moment: Moment) -> str:
    """`No worker connected: 22 queues (mail, sms, push and 19 more)`."""
    title = members[0].headline.partition(":")[0]
    return f"{title}: {counted(len(members), _noun(members[0].labels))} ({_named(members, moment)})"


def _noun(labels: Mapping[str, str]) -> str:
    if "queue" in labels:
        return "queue"
    return "pair" if "writer" in labels else "connection" if "connection" in labels else "time"


def _details(members: Sequence[Finding], moment: Moment) -> Iterator[str]:
    """The explanations, each once with all that it is about: the first ones, as each may cost."""
    by_text: dict[str, list[Finding]] = defaultdict(list)
    for finding in members[:_MAX_EXPLAINED]:
        by_text[finding.explanation].append(finding)
    lines = list(by_text.items())[:_MAX_DETAILS]
    for text, about in lines:
        if text:
            # the headline has the names of all
            named = len(by_text) > 1
            names = _named(about, moment) if named else ""
            yield (f"{names}: {text}" if names else text) + _since(about)
    left = len(members) - sum(len(about) for _, about in lines)
    if left:
        yield f"and {left:,} more"


def _since(findings: Sequence[Finding]) -> str:
    ages = [each.oldest_seconds for each in findings if each.oldest_seconds]
    return f" (oldest job: {age(max(ages))})" if ages else ""


def subject(labels: Mapping[str, str], moment: Moment) -> str:
    """What labels are about, with prefix and connection only if there are several."""
    if "writer" in labels:
        return f"{labels['writer']} to {labels['reader']}"
    connection = labels.get("connection") or labels.get("producer_connection", "")
    if "queue" not in labels:
        return printable(connection)
    prefix = f"{labels['prefix']}:" if len(moment.config.queues.prefixes) > 1 else ""
    several = len(moment.config.connections) > 1
    return printable(f"{prefix}{labels['queue']}" + (f" on {connection}" if several else ""))


def _headline(groups: Sequence[Group], moment: Moment) -> str:
    if groups and groups[0].status is not Status.INFO:
        serious = [group for group in groups if group.status is not Status.INFO]
        more = len(serious) - 1
        return groups[0].headline + (f" · {counted(more, 'more problem')}" if more else "")
    if groups:
        return f"{groups[0].headline} · no problem otherwise"
    queues = sum(len(database.table.queues) for database in moment.databases)
    shard = moment.config.queues.shard
    count = counted(queues, "queue") + (f" of shard {shard}" if shard else "")
    return f"All is well: {count}, none blocked"


def _named(findings: Sequence[Finding], moment: Moment) -> str:
    """As `_list`, what the findings are about."""
    names = [subject(each.labels, moment) for each in findings[:_MAX_NAMED]]
    return _first(names, len(findings) - len(names))


def _list(names: Sequence[str]) -> str:
    return _first(names[:_MAX_NAMED], len(names) - _MAX_NAMED)


def _first(names: Sequence[str], more: int) -> str:
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")
