"""Which connections reach the same keyspace, and which of them reads it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.connection import Metadata
from exporter.state.snapshots import Check, Snapshot, SyncReport


def keyspace_owners(
    snapshots: Sequence[Snapshot], now: float, stale_after: float, sync: SyncReport | None = None
) -> dict[str, str]:
    """For each connection, the first connection that reaches the same keyspace: its owner.

    A keyspace that several connections reach is read once, through its owner. A connection that has
    not reached Redis for `stale_after` seconds owns only itself; until then its last samples are
    still shown, and a second reader would duplicate them.
    """
    owners: dict[str, str] = {}
    firsts: dict[str, Metadata] = {}
    for snapshot in snapshots:
        name, metadata = snapshot.connection, snapshot.metadata
        stale = snapshot.reached_at is None or now - snapshot.reached_at > stale_after
        if metadata is None or stale:
            owners[name] = name
            continue
        owners[name] = next(
            (first for first in firsts if _same(first, firsts[first], name, metadata, sync)), name
        )
        if owners[name] == name:
            firsts[name] = metadata
    return owners


def _same(a: str, known_a: Metadata, b: str, known_b: Metadata, sync: SyncReport | None) -> bool:
    """Whether both are one keyspace: by the servers' identities, or else by the sync test."""
    if known_a.same_keyspace(known_b):
        return True
    if (known_a.run_id and known_b.run_id) or sync is None:
        return False
    if sync.time < max(known_a.connected_at, known_b.connected_at):
        return False  # it may have tested other servers
    pairs = (sync.pair(a, b), sync.pair(b, a))
    return any(pair is not None and _passed(pair.checks.get("set_get")) for pair in pairs)


def _passed(check: Check | None) -> bool:
    return check is not None and check.ok
