"""Which connections reach the same keyspace, and through which of them it is read. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.connection import Metadata
from exporter.state.snapshots import Check, Snapshot, SyncReport


def keyspace_owners(
    snapshots: Sequence[Snapshot], now: float, stale_after: float, sync: SyncReport | None = None
) -> dict[str, str]:
    """For each connection, the first one in order that reaches the same keyspace.

    A keyspace that several connections reach is read once, through its owner. A connection that
    has not reached Redis for `stale_after` owns nothing but itself; until then its last samples
    are shown, and a second reader's would double them.
    """
    owners: dict[str, str] = {}
    firsts: dict[str, Metadata] = {}
    for snapshot in snapshots:
        name, metadata = snapshot.connection, snapshot.metadata
        lost = snapshot.reached_at is None or now - snapshot.reached_at > stale_after
        if metadata is None or lost:
            owners[name] = name
            continue
        owners[name] = next(
            (first for first in firsts if _same(first, firsts[first], name, metadata, sync)), name
        )
        if owners[name] == name:
            firsts[name] = metadata
    return owners


def _same(a: str, known_a: Metadata, b: str, known_b: Metadata, sync: SyncReport | None) -> bool:
    """By the servers' identities, or, where one hides its own, by what the sync test saw."""
    if known_a.same_keyspace(known_b):
        return True
    if (known_a.run_id and known_b.run_id) or sync is None:
        return False
    if sync.time < max(known_a.connected_at, known_b.connected_at):
        return False  # it may have tested others
    pairs = (sync.pair(a, b), sync.pair(b, a))
    return any(pair is not None and _seen(pair.checks.get("set_get")) for pair in pairs)


def _seen(check: Check | None) -> bool:
    return check is not None and check.ok
