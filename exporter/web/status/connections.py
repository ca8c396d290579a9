"""The rows of the connections table: server, latency, memory and sync test of each connection."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.diagnosis import explain_pair, full_in_seconds
from exporter.findings import Status
from exporter.state.snapshots import ServerFacts, Snapshot
from exporter.views.formatting import UNKNOWN, printable
from exporter.views.moment import Moment


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One row; None always means unknown."""

    name: str
    level: Status
    status: str
    reaches: str
    """Address and database."""
    server: str
    """Software with version, and role."""
    shares: str
    """The other connection that reads its queues; empty if it reads them itself."""
    polled_seconds: float | None
    """Since the end of the last poll, successful or not."""
    ping_seconds: float | None
    memory_bytes: float | None
    memory_max_bytes: float | None
    """0 means no limit."""
    memory_full_in_seconds: float | None
    """At the rate of the last half hour; None also if it does not grow, or without a limit."""
    policy: str
    """The maxmemory-policy; empty if unknown."""
    policy_is_safe: bool
    keys: float | None
    sync: str
    sync_level: Status


def connection_views(moment: Moment) -> list[ConnectionView]:
    """One row per connection, in the order of the configuration."""
    return [
        _view(moment, moment.known[name]) if name in moment.known else _untried(name)
        for name in moment.config.connections
    ]


def _untried(name: str) -> ConnectionView:
    return ConnectionView(
        name=name,
        level=Status.UNKNOWN,
        status="not tried yet",
        reaches="",
        server="",
        shares="",
        polled_seconds=None,
        ping_seconds=None,
        memory_bytes=None,
        memory_max_bytes=None,
        memory_full_in_seconds=None,
        policy="",
        policy_is_safe=True,
        keys=None,
        sync=UNKNOWN,
        sync_level=Status.UNKNOWN,
    )


def _view(moment: Moment, snapshot: Snapshot) -> ConnectionView:
    up, owner = moment.is_up(snapshot), moment.owners[snapshot.connection]
    server = moment.facts(snapshot, ServerFacts)
    values, info = (server.values, server.info) if server is not None else ({}, {})
    known = snapshot.metadata
    sync, sync_level = _sync(snapshot.connection, moment)
    return ConnectionView(
        name=snapshot.connection,
        level=Status.OK if up else Status.CRITICAL,
        status="up" if up else "down",
        reaches=printable(f"{known.address}/{known.db}") if known is not None else "",
        server=_server(snapshot, info.get("software", "")),
        shares=owner if owner != snapshot.connection else "",
        polled_seconds=moment.now - snapshot.at,
        ping_seconds=snapshot.ping_seconds if up else None,
        memory_bytes=values.get("memory_used_bytes"),
        memory_max_bytes=values.get("memory_max_bytes"),
        memory_full_in_seconds=full_in_seconds(moment.past(snapshot), server, moment.now)
        if server is not None
        else None,
        policy=printable(info.get("maxmemory_policy", "")),
        policy_is_safe=values.get("eviction_safe") != 0,
        keys=values.get("keys"),
        sync=sync,
        sync_level=sync_level,
    )


def _server(snapshot: Snapshot, software: str) -> str:
    known = snapshot.metadata
    if known is None:
        return ""
    role = {"slave": "replica"}.get(known.role, known.role)
    return printable(", ".join(part for part in (software, role) if part))


def _sync(name: str, moment: Moment) -> tuple[str, Status]:
    """The sync test's result for the writes of this connection, and its level."""
    if not moment.config.sync.enabled:
        return "off", Status.OK
    pairs = [pair for pair in moment.sync.pairs if pair.writer == name] if moment.sync else []
    if moment.sync is None or not pairs:
        return UNKNOWN, Status.UNKNOWN
    wrong = [pair for pair in pairs if pair.passed is not True]
    if wrong:
        worst = next((pair for pair in wrong if pair.passed is False), wrong[0])
        level = Status.CRITICAL if worst.passed is False else Status.UNKNOWN
        return printable(explain_pair(worst, moment.sync.metadata)), level
    slowest = max((pair.propagation_seconds or 0.0) for pair in pairs) * 1000
    if [pair.reader for pair in pairs] == [name]:
        return f"sees its own writes after {slowest:.1f} ms", Status.OK
    whose = " of its group" if moment.config.sync.groups else ""
    return f"all {len(pairs)} connections{whose} see its writes after {slowest:.1f} ms", Status.OK
