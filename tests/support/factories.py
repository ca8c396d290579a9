"""Factories of snapshots, moments and reports for tests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.bullmq import queue_of
from exporter.collectors.queues import STATES
from exporter.config.models import Config
from exporter.connection import ErrorClass, Metadata
from exporter.state.snapshots import (
    Check,
    Dated,
    Discovered,
    EventFacts,
    Histogram,
    JobEvents,
    LastError,
    Pair,
    PrefixCount,
    QueueEvents,
    Reload,
    ServerFacts,
    Snapshot,
    SyncReport,
)
from exporter.state.store import SnapshotStore
from exporter.state.unfinished_jobs import Audit
from exporter.state.workers import WorkerCount, WorkerFacts
from exporter.views.moment import Moment, moment_of
from tests.support.tables import queue_table

NO_DURATIONS = Histogram((), (), 0.0, 0)


def config(*connections: str, **sections: Any) -> Config:
    """The default configuration for these connections, `api` if there are none."""
    urls = {name: {"url": f"redis://{name}"} for name in connections or ("api",)}
    return Config.model_validate({"connections": urls} | sections)


def moment(
    *snapshots: Snapshot,
    sync: SyncReport | None = None,
    reload: Reload | None = None,
    connections: Sequence[str] = (),
    settings: Config | None = None,
) -> Moment:
    """The current moment with these snapshots; configured are their connections."""
    names = connections or list(dict.fromkeys(each.connection for each in snapshots))
    store = SnapshotStore(names)
    for each in snapshots:
        store.publish(each)
    store.sync, store.reload = sync, reload
    return moment_of(store, settings or config(*names))


def snapshot_of(
    connection: str = "api", *facts: object, ago: float = 0.0, **changes: Any
) -> Snapshot:
    """A connection that was polled `ago` seconds ago, with these facts of its collectors."""
    at = time.monotonic() - ago
    known: dict[str, Any] = {
        "connection": connection,
        "at": at,
        "time": time.time() - ago,
        "up": True,
        "reached_at": at,
        "metadata": Metadata(
            connection, f"{connection}:6379", "", "", 0, 0.0, run_id=connection, role="master"
        ),
        "ping_seconds": 0.0012,
        "pings": NO_DURATIONS,
        "reconnects": 0,
        "since": 1e9,
        "last_error": None,
        "ping_refusal": None,
        "reports": {},
        "facts": {type(fact): Dated(fact, at) for fact in facts},
    }
    return Snapshot(**(known | changes))


def snapshot(
    connection: str = "api",
    queues: Mapping[tuple[str, str], Mapping[str, float | None]] | None = None,
    *,
    ago: float = 0.0,
    workers: Mapping[tuple[str, str], WorkerCount] | None = None,
    server: ServerFacts | None = None,
    dropped: int = 0,
    **changes: Any,
) -> Snapshot:
    """A connection with queues: columns by prefix and name."""
    rows = [dict.fromkeys(STATES, 0) | dict(facts) for facts in (queues or {}).values()]
    keys = tuple(queue_of(prefix, name) for prefix, name in queues or {})
    table = queue_table(keys, rows)
    counts = {queue_of(*key): count for key, count in (workers or {}).items()}
    facts: list[object] = [
        table,
        WorkerFacts(counts),
        Discovered(keys, {"bull": PrefixCount(len(keys), dropped)}),
        EventFacts({}, 0.0, 0),
    ]
    facts += [server] if server is not None else []
    return snapshot_of(connection, *facts, ago=ago, **changes)


def queue_events(
    *,
    lost: int = 0,
    last_added: float | None = None,
    audit: Audit | None = None,
    **counts: int,
) -> QueueEvents:
    """The events of a queue with these totals by kind; 0 for kinds that are not given."""
    kinds = ("added", "started", "completed", "failed", "retried", "stalled")
    totals = (counts.pop(kind, 0) for kind in (*kinds, "duplicated", "deduplicated"))
    jobs = JobEvents(*totals, NO_DURATIONS, {})
    assert not counts, f"no kinds of events: {counts}"
    read = sum(getattr(jobs, kind) for kind in (*kinds, "duplicated", "deduplicated"))
    return QueueEvents(read, lost, {"": jobs}, last_added, audit=audit)


def stuck(seconds: float = 100.0) -> dict[str, float | None]:
    """Columns of a queue whose ready jobs have not moved for this many seconds."""
    since = time.monotonic() - seconds
    return {"waiting": 7, "ready_since": since, "still_since": since, "has_id": 1}


def refused() -> LastError:
    """The error of a refused connection."""
    return LastError(ErrorClass.CONNECTION, "Connection refused", time.time())


def sync_report(connections: Sequence[str], failing: Sequence[tuple[str, str]] = ()) -> SyncReport:
    """A round of the sync test that has just ended."""
    steps = ("writable", "set_get", "integrity", "ttl", "expiry", "same_database", "cleanup")
    pairs = tuple(
        Pair(
            writer,
            reader,
            {
                step: Check((writer, reader) not in failing or step != "set_get", 0.001, "nothing")
                for step in steps
            },
            propagation_seconds=0.0004,
        )
        for writer in connections
        for reader in connections
    )
    metadata = {
        name: Metadata(name, f"{name}:6379", "", "", 0, 0.0, run_id=name, role="master")
        for name in connections
    }
    return SyncReport(time.monotonic(), time.time(), 0.1, 60.0, pairs, metadata)
