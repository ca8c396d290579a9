"""`/health/redis`: what the pollers know of each connection, as JSON. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from exporter.collectors.queues import jobs_by_state
from exporter.config import Config
from exporter.connection import Metadata
from exporter.state.keyspaces import keyspace_owners
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import (
    CollectorReport,
    Discovered,
    LastError,
    ServerFacts,
    Snapshot,
    SyncReport,
)

_MEMORY = (
    "memory_used_bytes",
    "memory_max_bytes",
    "memory_rss_bytes",
    "memory_fragmentation_ratio",
    "evicted_keys",
)


def redis_health(
    config: Config, snapshots: Sequence[Snapshot], now: float, sync: SyncReport | None
) -> tuple[dict[str, Any], bool]:
    """The answer, and whether every connection reaches its Redis."""
    stale_after = config.poll.stale_after_seconds
    owners = keyspace_owners(snapshots, now, stale_after, sync)
    known = {snapshot.connection: snapshot for snapshot in snapshots}
    connections = {}
    for name, settings in config.connections.items():
        snapshot = known.get(name)
        if snapshot is None:
            connections[name] = {"status": "starting", "url": str(settings.url)}
        else:
            connections[name] = _connection(snapshot, owners[name], now, stale_after)
            connections[name]["url"] = str(settings.url)
    up = sum(connection["status"] == "up" for connection in connections.values())
    status = "up" if up == len(connections) else "degraded" if up else "down"
    return {"status": status, "connections": connections}, status == "up"


def _connection(snapshot: Snapshot, owner: str, now: float, stale_after: float) -> dict[str, Any]:
    server = snapshot.get(ServerFacts, now, stale_after)
    return {
        "status": "up" if snapshot.is_up(now, stale_after) else "down",
        "age_seconds": round(now - snapshot.at, 3),
        "ping_seconds": snapshot.ping_seconds,
        "reconnects": snapshot.reconnects,
        "last_error": _problem(snapshot.problem),
        "metadata": shown_metadata(snapshot.metadata),
        "database": owner,
        "server": server and dict(server.info),
        "memory": server and {key: server.values.get(key) for key in _MEMORY},
        "keys": server and server.values.get("keys"),
        "bullmq": _prefixes(snapshot, now, stale_after),
        "collectors": {name: _report(report) for name, report in snapshot.reports.items()},
    }


def shown_metadata(metadata: Metadata | None) -> dict[str, Any] | None:
    """Whom a connection reaches, with readable times."""
    if metadata is None:
        return None
    return asdict(metadata) | {"connected_at": shown_time(metadata.connected_at)}


def _problem(problem: LastError | None) -> dict[str, str] | None:
    if problem is None:
        return None
    return {"error": problem.kind, "detail": problem.text, "at": shown_time(problem.at)}


def _report(report: CollectorReport) -> dict[str, Any]:
    return {
        "success": report.success,
        "duration_seconds": report.duration,
        "last_success": shown_time(report.last_success) if report.last_success else None,
        "errors": {kind: count for kind, count in report.errors.items() if count},
        "not_available": list(report.not_available),
        "last_error": _problem(report.problem),
    }


def _prefixes(snapshot: Snapshot, now: float, stale_after: float) -> dict[str, Any] | None:
    """By prefix: the queues, the keys by their name, and the jobs by state."""
    found = snapshot.get(Discovered, now, stale_after)
    table = snapshot.get(QueueTable, now, stale_after)
    if found is None:
        return None
    return {
        prefix: {
            "queues": count.queues,
            "queues_dropped": count.dropped,
            "keys": dict(count.keys),
            "jobs": jobs_by_state(table, prefix) if table else None,
        }
        for prefix, count in found.prefixes.items()
    }


def shown_time(moment: float) -> str:
    """Unix time as ISO 8601."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
