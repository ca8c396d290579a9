"""The families with few samples: the exporter, its connections and their servers."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from typing import Final

from exporter import __version__, metrics
from exporter.connection import ErrorClass
from exporter.diagnosis import Diagnosis
from exporter.exposition.samples import Samples, Single, SingleHistogram
from exporter.metrics import Family
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered, ServerFacts, Snapshot, SyncReport
from exporter.views.moment import Moment

FamilySamples = tuple[Family, Samples]

_STARTED: Final = time.time()
"""Unix time since when the counters of the process count."""


def exporter_families(failures: int) -> Iterator[FamilySamples]:
    """What is known without any moment: the versions, and how many pages could not be rendered."""
    yield _sample(metrics.BUILD_INFO, (__version__, platform.python_version()), 1)
    yield _sample(metrics.RENDER_FAILURES, (), failures, _STARTED)


def connection_families(moment: Moment) -> Iterator[FamilySamples]:
    """Each sample with its family. One family's are in order, but families may alternate."""
    if moment.reload is not None:
        yield _sample(metrics.RELOAD_SUCCESSFUL, (), moment.reload.successful)
        yield _sample(metrics.RELOAD_SUCCESS_TIME, (), moment.reload.success_time)
    usage = moment.stored.histories.usage
    yield _sample(metrics.HISTORY_BYTES, (), usage.bytes)
    yield _sample(metrics.HISTORY_SKIPPED, (), usage.skipped)
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
            yield _sample(metrics.CONNECTION_WRITES_REFUSED, (database.connection,), refused)
    if moment.config.queues.first_shard and moment.sync is not None:
        yield from _sync(moment.sync)


def isolation_families(diagnosis: Diagnosis) -> Iterator[FamilySamples]:
    """A sample for each isolation; none if there is none."""
    for each in diagnosis.isolations:
        values = (each.prefix, each.queue, each.producer, each.worker)
        yield _sample(metrics.WORKER_ISOLATION, values, 1)


def _sample(
    family: Family, values: Sequence[str], value: float, created: float | None = None
) -> FamilySamples:
    return family, Single(family, values, value, created)


def _connection(snapshot: Snapshot, moment: Moment) -> Iterator[FamilySamples]:
    name = snapshot.connection
    up = moment.is_up(snapshot)
    yield _sample(metrics.UP, (name,), up)
    if up and snapshot.metadata is not None:
        known = snapshot.metadata
        values = (moment.owners[name], known.url_hash, known.run_id, str(known.db), known.role)
        yield _sample(metrics.CONNECTION_INFO, (name, *values), 1)
    ping = metrics.CONNECTION_PING
    yield ping, SingleHistogram(ping, (name,), snapshot.pings, snapshot.since)
    yield _sample(metrics.CONNECTION_RECONNECTS, (name,), snapshot.reconnects, snapshot.since)


def _collectors(snapshot: Snapshot) -> Iterator[FamilySamples]:
    for collector, report in snapshot.reports.items():
        values = (snapshot.connection, collector)
        if report.success is not None:
            yield _sample(metrics.COLLECTOR_SUCCESS, values, report.success)
        if report.duration is not None:
            yield _sample(metrics.COLLECTOR_DURATION, values, report.duration)
        if report.last_success is not None:
            yield _sample(metrics.COLLECTOR_LAST_SUCCESS, values, report.last_success)
        yield _sample(metrics.COLLECTOR_REFUSED, values, len(report.not_available))
        for error in ErrorClass:
            count = report.errors.get(error, 0)
            yield _sample(metrics.COLLECTOR_ERRORS, (*values, error), count, snapshot.since)
        yield _sample(metrics.COLLECTOR_OVERSIZED, values, report.oversized, snapshot.since)


def _discovery(snapshot: Snapshot, moment: Moment) -> Iterator[FamilySamples]:
    if "discovery" in snapshot.reports:
        seconds = snapshot.discovery_redis_seconds
        yield _sample(metrics.DISCOVERY_SECONDS, (snapshot.connection,), seconds, snapshot.since)
    # a discovery stays valid until the next one, so these facts are as old as the last poll
    if (discovered := moment.facts(snapshot, Discovered)) is None:
        return
    for prefix, count in discovered.prefixes.items():
        values = (snapshot.connection, prefix)
        yield _sample(metrics.EXPORTER_QUEUES, values, count.queues)
        yield _sample(metrics.EXPORTER_QUEUES_DROPPED, values, count.dropped)


def _looks(snapshot: Snapshot, moment: Moment) -> Iterator[FamilySamples]:
    if (table := moment.facts(snapshot, QueueTable)) is None:
        return
    values = (snapshot.connection,)
    yield _sample(metrics.STUCK_LOOKS_SECONDS, values, table.looks.redis_seconds, snapshot.since)
    yield _sample(metrics.STUCK_LOOKS_CUT, values, table.looks.cut, snapshot.since)


def _server(snapshot: Snapshot, moment: Moment) -> Iterator[FamilySamples]:
    if (facts := moment.facts(snapshot, ServerFacts)) is None:
        return
    name = snapshot.connection
    values = [facts.info.get(label, "") for label in metrics.REDIS_INFO.labels[1:]]
    yield _sample(metrics.REDIS_INFO, (name, *values), 1)
    for key, family in metrics.REDIS_VALUES.items():
        if key in facts.values:
            yield _sample(family, (name,), facts.values[key])
    for kind, ok in facts.persistence_ok.items():
        yield _sample(metrics.REDIS_PERSISTENCE_OK, (name, kind), ok)


def _sync(report: SyncReport) -> Iterator[FamilySamples]:
    for pair in report.pairs:
        names = (pair.writer, pair.reader)
        if pair.passed is None:
            continue
        yield _sample(metrics.SYNC_SUCCESS, names, pair.passed)
        for name, check in pair.checks.items():
            yield _sample(metrics.SYNC_CHECK_SUCCESS, (*names, name), check.ok)
        yield _sample(metrics.SYNC_DURATION, names, pair.seconds)
        if pair.propagation_seconds is not None:
            yield _sample(metrics.SYNC_PROPAGATION, names, pair.propagation_seconds)
        yield _sample(metrics.SYNC_LAST_RUN, names, pair.time)
        yield _sample(metrics.SYNC_RUNS, names, pair.runs, pair.since)
        yield _sample(metrics.SYNC_FAILURES, names, pair.failures, pair.since)
