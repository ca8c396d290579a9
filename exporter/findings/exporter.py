"""Conditions of the alerts about the exporter itself."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.findings.model import Hit, Limits
from exporter.state.history import growth, window
from exporter.state.snapshots import CollectorReport, Discovered, EventFacts
from exporter.views.formatting import printable
from exporter.views.moment import Moment


def page_not_rendered(moment: Moment, limits: Limits) -> Iterator[Hit]:
    failed_at = moment.stored.render_failed_at
    if failed_at is not None and moment.now - failed_at < limits["window"]:
        yield Hit({})


def config_reload_failed(moment: Moment, _: Limits) -> Iterator[Hit]:
    if moment.reload is not None and not moment.reload.successful:
        yield Hit({}, 0.0)


def collection_stale(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for snapshot in moment.snapshots:
        for collector, report in snapshot.reports.items():
            if collector == "discovery" or report.last_success is None:
                continue
            age = moment.time - report.last_success
            if age > limits["above_seconds"]:
                yield Hit({"connection": snapshot.connection, "collector": collector}, age)


def collection_errors(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for snapshot in moment.snapshots:
        past = window(moment.past(snapshot), moment.now, limits["window"])
        for collector, report in snapshot.reports.items():
            for error, count in report.errors.items():
                before = past[0].errors.get((collector, error), 0) if past else count
                if growth(before, count) > 0:
                    text = report.last_error.text if report.last_error is not None else ""
                    yield Hit(
                        {
                            "connection": snapshot.connection,
                            "collector": collector,
                            "error": error,
                        },
                        growth(before, count),
                        printable(text),
                    )


def discovery_refused(moment: Moment, _: Limits) -> Iterator[Hit]:
    for snapshot in moment.snapshots:
        report = snapshot.reports.get("discovery")
        if report is not None and report.not_available:
            yield Hit({"connection": snapshot.connection}, 1.0, _refused(report))


def commands_refused(moment: Moment, _: Limits) -> Iterator[Hit]:
    for snapshot in moment.snapshots:
        for collector in ("queues", "events"):
            report = snapshot.reports.get(collector)
            if report is not None and report.not_available:
                labels = {"connection": snapshot.connection, "collector": collector}
                yield Hit(labels, len(report.not_available), _refused(report))


def _refused(report: CollectorReport) -> str:
    return f"refused: {', '.join(map(printable, report.not_available))}"


def no_queues_found(moment: Moment, _: Limits) -> Iterator[Hit]:
    for connection, prefix, queues, _dropped in _prefixes(moment):
        if not queues and moment.config.queues.shard is None:
            yield Hit({"connection": connection, "prefix": prefix}, 0.0)


def queues_dropped(moment: Moment, _: Limits) -> Iterator[Hit]:
    for connection, prefix, _queues, dropped in _prefixes(moment):
        if dropped:
            yield Hit({"connection": connection, "prefix": prefix}, dropped)


def _prefixes(moment: Moment) -> Iterator[tuple[str, str, int, int]]:
    for snapshot in moment.snapshots:
        discovered = moment.facts(snapshot, Discovered)
        if discovered is not None and moment.owners[snapshot.connection] == snapshot.connection:
            for prefix, count in discovered.prefixes.items():
                yield snapshot.connection, prefix, count.queues, count.dropped


def events_lagging(moment: Moment, limits: Limits) -> Iterator[Hit]:
    for snapshot in moment.snapshots:
        facts = moment.facts(snapshot, EventFacts)
        if facts is not None and facts.lag_seconds > limits["above_seconds"]:
            yield Hit({"connection": snapshot.connection}, facts.lag_seconds)
