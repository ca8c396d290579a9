"""`/health/redis`: the state of each connection as JSON. Pure: no I/O."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from exporter.collectors.queues import jobs_by_state
from exporter.connection import Metadata
from exporter.diagnosis import full_in_seconds
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import (
    CollectorReport,
    Discovered,
    LastError,
    ServerFacts,
    Snapshot,
)
from exporter.views.moment import Moment
from exporter.web.background import Known

_MEMORY = (
    "memory_used_bytes",
    "memory_max_bytes",
    "memory_rss_bytes",
    "memory_fragmentation_ratio",
    "evicted_keys",
)


def redis_health(known: Known) -> tuple[dict[str, Any], bool]:
    """The response, and whether every connection reaches its Redis."""
    moment = known.moment
    connections = {
        name: _connection(moment, name) | {"url": str(settings.url)}
        for name, settings in moment.config.connections.items()
    }
    up = sum(connection["status"] == "up" for connection in connections.values())
    status = "up" if up == len(connections) else "degraded" if up else "down"
    verdict = known.verdict.as_json()
    found = {name: verdict[name] for name in ("verdict", "findings", "symptoms")}
    return {"status": status, **found, "connections": connections}, status == "up"


def _connection(moment: Moment, name: str) -> dict[str, Any]:
    snapshot = moment.known.get(name)
    if snapshot is None:
        return {"status": "starting"}
    server = moment.facts(snapshot, ServerFacts)
    return {
        "status": "up" if moment.is_up(snapshot) else "down",
        "age_seconds": round(moment.now - snapshot.at, 3),
        "ping_seconds": snapshot.ping_seconds,
        "reconnects": snapshot.reconnects,
        "last_error": _last_error(snapshot.last_error),
        "ping_refusal": _last_error(snapshot.ping_refusal),
        "metadata": shown_metadata(snapshot.metadata),
        "database": moment.owners[name],
        "server": server and dict(server.info),
        "memory": server and _memory(moment, snapshot, server),
        "keys": server and server.values.get("keys"),
        "bullmq": _prefixes(moment, snapshot),
        "collectors": {name: _report(report) for name, report in snapshot.reports.items()},
    }


def _memory(moment: Moment, snapshot: Snapshot, server: ServerFacts) -> dict[str, float | None]:
    full = full_in_seconds(moment.past(snapshot), server, moment.now)
    return {key: server.values.get(key) for key in _MEMORY} | {"memory_full_in_seconds": full}


def shown_metadata(metadata: Metadata | None) -> dict[str, Any] | None:
    """The server that a connection reaches, with readable times."""
    if metadata is None:
        return None
    return asdict(metadata) | {"connected_at": shown_time(metadata.connected_at)}


def _last_error(error: LastError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"error": error.kind, "detail": error.text, "at": shown_time(error.at)}


def _report(report: CollectorReport) -> dict[str, Any]:
    return {
        "success": report.success,
        "duration_seconds": report.duration,
        "last_success": shown_time(report.last_success) if report.last_success else None,
        "errors": {kind: count for kind, count in report.errors.items() if count},
        "not_available": list(report.not_available),
        "last_error": _last_error(report.last_error),
    }


def _prefixes(moment: Moment, snapshot: Snapshot) -> dict[str, Any] | None:
    """By prefix: the number of queues, keys by kind and jobs by state; None if unknown."""
    discovered = moment.facts(snapshot, Discovered)
    table = moment.facts(snapshot, QueueTable)
    if discovered is None:
        return None
    return {
        prefix: {
            "queues": count.queues,
            "queues_dropped": count.dropped,
            "keys": dict(count.keys),
            "jobs": jobs_by_state(table, prefix) if table else None,
        }
        for prefix, count in discovered.prefixes.items()
    }


def shown_time(moment: float) -> str:
    """Unix time as ISO 8601."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
