"""The databases in the snapshots, each with the connection that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporter.connection import ErrorClass
from exporter.diagnosis.blocked import Database
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import ServerFacts, Snapshot, SyncReport
from exporter.state.workers import WorkerFacts


def databases_of(
    snapshots: Sequence[Snapshot],
    owners: Mapping[str, str],
    now: float,
    stale_after: float,
    sync: SyncReport | None = None,
) -> list[Database]:
    """The databases with fresh facts, in the order of the configuration."""
    databases = []
    for snapshot in snapshots:
        name = snapshot.connection
        table = snapshot.get(QueueTable, now, stale_after)
        if owners[name] == name and table is not None:
            role = snapshot.metadata.role if snapshot.metadata is not None else ""
            workers = snapshot.get(WorkerFacts, now, stale_after)
            refused = _refused_writes(snapshot, snapshot.get(ServerFacts, now, stale_after), sync)
            databases.append(Database(name, role, table, workers, refused))
    return databases


def _refused_writes(snapshot: Snapshot, server: ServerFacts | None, sync: SyncReport | None) -> str:
    """Why the server refuses writes; empty if it does not, as far as is known.

    PING is refused after a failed snapshot, and the sync test sees every refusal. Full memory and
    missing replicas are also seen in INFO, because the sync test may be off.
    """
    refusal = snapshot.ping_refusal
    if refusal is not None and refusal.kind is ErrorClass.WRITES_REFUSED:
        return refusal.text
    for pair in sync.pairs if sync is not None else ():
        check = pair.checks.get("writable") if pair.writer == snapshot.connection else None
        if check is not None and check.error is ErrorClass.WRITES_REFUSED:
            return check.detail
    if server is None:
        return ""
    if server.values.get("good_replicas") == 0:
        return "fewer replicas are connected than min-replicas-to-write requires"
    if server.values.get("eviction_safe") != 1:
        return ""
    used, limit = (server.values.get(f"memory_{kind}_bytes") for kind in ("used", "max"))
    if used is not None and limit and used >= limit:
        return f"its memory is full: {used:,.0f} of {limit:,.0f} bytes are used"
    return ""
