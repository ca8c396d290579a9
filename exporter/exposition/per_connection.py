"""The families with few samples: the exporter, its connections and their servers."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence

from exporter import __version__, metrics
from exporter.connection import ErrorClass
from exporter.exposition.text import histogram_lines, labels, sample
from exporter.metrics import Family
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered, ServerFacts, Snapshot, SyncReport
from exporter.views.moment import Moment

Line = tuple[Family, str]


def exporter_families(failures: int) -> Iterator[Line]:
    """What is known without any moment: the versions, and how many pages could not be rendered."""
    yield _line(metrics.BUILD_INFO, (__version__, platform.python_version()), 1)
    yield _line(metrics.RENDER_FAILURES, (), failures)


def connection_families(moment: Moment) -> Iterator[Line]:
    """Each line with its family. One family's lines are in order, but families may alternate."""
    if moment.reload is not None:
        yield _line(metrics.RELOAD_SUCCESSFUL, (), moment.reload.successful)
        yield _line(metrics.RELOAD_SUCCESS_TIME, (), moment.reload.success_time)
    usage = moment.stored.histories.usage
    yield _line(metrics.HISTORY_BYTES, (), usage.bytes)
    yield _line(metrics.HISTORY_SKIPPED, (), usage.skipped)
    for snapshot in moment.snapshots:
        yield from _connection(snapshot, moment)
        yield from _collectors(snapshot)
        yield from _discovery(snapshot, moment)
        yield from _looks(snapshot, moment)
        if moment.config.queues.first_shard:
            yield from _server(snapshot, moment)
    for database in moment.databases:
        if moment.is_up(moment.known[database.connection]):
            refused = bool(database.writes_refused)
            yield _line(metrics.CONNECTION_WRITES_REFUSED, (database.connection,), refused)
    if moment.config.queues.first_shard and moment.sync is not None:
        yield from _sync(moment.sync)


def _line(family: Family, values: Sequence[str], value: float) -> Line:
    return family, sample(family.name, labels(family.labels, values), value)


def _connection(snapshot: Snapshot, moment: Moment) -> Iterator[Line]:
    name = snapshot.connection
    up = moment.is_up(snapshot)
    yield _line(metrics.UP, (name,), up)
    if up and snapshot.metadata is not None:
        known = snapshot.metadata
        values = (moment.owners[name], known.url_hash, known.run_id, str(known.db), known.role)
        yield _line(metrics.CONNECTION_INFO, (name, *values), 1)
    ping = metrics.CONNECTION_PING
    yield ping, histogram_lines(ping.name, labels(ping.labels, (name,)), snapshot.pings)
    yield _line(metrics.CONNECTION_RECONNECTS, (name,), snapshot.reconnects)


def _collectors(snapshot: Snapshot) -> Iterator[Line]:
    for collector, report in snapshot.reports.items():
        values = (snapshot.connection, collector)
        if report.success is not None:
            yield _line(metrics.COLLECTOR_SUCCESS, values, report.success)
        if report.duration is not None:
            yield _line(metrics.COLLECTOR_DURATION, values, report.duration)
        if report.last_success is not None:
            yield _line(metrics.COLLECTOR_LAST_SUCCESS, values, report.last_success)
        yield _line(metrics.COLLECTOR_REFUSED, values, len(report.not_available))
        for error in ErrorClass:
            count = report.errors.get(error, 0)
            yield _line(metrics.COLLECTOR_ERRORS, (*values, error), count)
        yield _line(metrics.COLLECTOR_OVERSIZED, values, report.oversized)


def _discovery(snapshot: Snapshot, moment: Moment) -> Iterator[Line]:
    if "discovery" in snapshot.reports:
        seconds = snapshot.discovery_redis_seconds
        yield _line(metrics.DISCOVERY_SECONDS, (snapshot.connection,), seconds)
    # a discovery stays valid until the next one, so these facts are as old as the last poll
    if (discovered := moment.facts(snapshot, Discovered)) is None:
        return
    for prefix, count in discovered.prefixes.items():
        values = (snapshot.connection, prefix)
        yield _line(metrics.EXPORTER_QUEUES, values, count.queues)
        yield _line(metrics.EXPORTER_QUEUES_DROPPED, values, count.dropped)


def _looks(snapshot: Snapshot, moment: Moment) -> Iterator[Line]:
    if (table := moment.facts(snapshot, QueueTable)) is None:
        return
    values = (snapshot.connection,)
    yield _line(metrics.STUCK_LOOKS_SECONDS, values, table.looks.redis_seconds)
    yield _line(metrics.STUCK_LOOKS_CUT, values, table.looks.cut)


def _server(snapshot: Snapshot, moment: Moment) -> Iterator[Line]:
    if (facts := moment.facts(snapshot, ServerFacts)) is None:
        return
    name = snapshot.connection
    values = [facts.info.get(label, "") for label in metrics.REDIS_INFO.labels[1:]]
    yield _line(metrics.REDIS_INFO, (name, *values), 1)
    for key, family in metrics.REDIS_VALUES.items():
        if key in facts.values:
            yield _line(family, (name,), facts.values[key])
    for kind, ok in facts.persistence_ok.items():
        yield _line(metrics.REDIS_PERSISTENCE_OK, (name, kind), ok)


def _sync(report: SyncReport) -> Iterator[Line]:
    for pair in report.pairs:
        names = (pair.writer, pair.reader)
        if pair.passed is None:
            continue
        yield _line(metrics.SYNC_SUCCESS, names, pair.passed)
        for name, check in pair.checks.items():
            yield _line(metrics.SYNC_CHECK_SUCCESS, (*names, name), check.ok)
        yield _line(metrics.SYNC_DURATION, names, pair.seconds)
        if pair.propagation_seconds is not None:
            yield _line(metrics.SYNC_PROPAGATION, names, pair.propagation_seconds)
        yield _line(metrics.SYNC_LAST_RUN, names, pair.time)
        yield _line(metrics.SYNC_RUNS, names, pair.runs)
        yield _line(metrics.SYNC_FAILURES, names, pair.failures)
