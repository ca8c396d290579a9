"""The databases in the snapshots, each with the connection that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporter.diagnosis.blocked import Database
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Snapshot, WorkerFacts


def databases_of(
    snapshots: Sequence[Snapshot], owners: Mapping[str, str], now: float, stale_after: float
) -> list[Database]:
    """The databases with fresh facts, in the order of the configuration."""
    databases = []
    for snapshot in snapshots:
        name = snapshot.connection
        table = snapshot.get(QueueTable, now, stale_after)
        if owners[name] == name and table is not None:
            role = snapshot.metadata.role if snapshot.metadata is not None else ""
            workers = snapshot.get(WorkerFacts, now, stale_after)
            databases.append(Database(name, role, table, workers))
    return databases
