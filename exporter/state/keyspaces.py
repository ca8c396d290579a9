"""Which connections reach the same keyspace, and which of them reads it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.connection import Metadata
from exporter.state.snapshots import CollectorReport, Snapshot, SyncReport

_Pair = frozenset[str]

_WHOLE_COLLECTOR = 100
"""Weight of a collector that is not available at all, in commands that are not available."""


@dataclass(frozen=True, slots=True)
class _Live:
    """A connection whose last samples are still shown."""

    snapshot: Snapshot
    metadata: Metadata

    @property
    def name(self) -> str:
        return self.snapshot.connection


class Keyspaces:
    """Remembers what was proven of the connections of one process. Thread-safe.

    Invariants:

    - A keyspace that several connections reach is read and shown once, through its owner.
    - An owner remains one while its samples are fresh, even if its Redis is lost: a second reader
      would show the same queues again.
    - The owner is the connection that can read best: a master before a replica, then the one whose
      user may run the most commands. Among equals the owner does not change. When connections are
      reached for the first time, the first in the configuration is preferred, so that labels do
      not depend on which connection was faster.
    - Two connections that were proven to be one keyspace remain so until that is refuted. A
      reconnect proves nothing: after a restart, one of them still has the previous identity.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._proven: set[_Pair] = set()
        self._readers: set[str] = set()
        """The connections that own a keyspace and are not stale."""
        self._known: set[str] = set()
        """The connections that have been reached before."""
        self._superseded: set[str] = set()
        """The connections whose keyspace another connection has read since they last did."""
        self._limits: dict[str, tuple[float, int]] = {}
        """When a connection was opened, and how much its user may not run, by connection."""

    def owners(
        self,
        snapshots: Sequence[Snapshot],
        now: float,
        stale_after: float,
        sync: SyncReport | None = None,
        *,
        remember: bool = True,
    ) -> Mapping[str, str]:
        """For each connection, the connection that owns its keyspace; itself if that is unknown.

        A caller whose snapshots are not all published must not `remember` the answer: others would
        see a connection come and go.
        `snapshots` are in the order of the configuration. A connection whose facts and whose last
        contact with Redis are more than `stale_after` seconds old owns only itself.
        """
        with self._lock:
            live = [
                _Live(snapshot, snapshot.metadata)
                for snapshot in snapshots
                if snapshot.metadata is not None and _fresh(snapshot, now, stale_after)
            ]
            owners = {snapshot.connection: snapshot.connection for snapshot in snapshots}
            readers = set()
            for group in self._groups(live, sync):
                owner = self._owner(group)
                readers.add(owner)
                owners |= {member.name: owner for member in group}
                if not remember:
                    continue
                self._superseded.update(*(pair - {owner} for pair in self._proven if owner in pair))
            if remember:
                self._readers = readers
                self._known |= {member.name for member in live}
            return owners

    def resume(self, name: str) -> bool:
        """Whether another connection has read the keyspace of this owner since it last did.

        Call it when `name` owns its keyspace; the answer is given once.
        """
        with self._lock:
            superseded = name in self._superseded
            self._superseded.discard(name)
            return superseded

    def forget(self, kept: Collection[str]) -> None:
        """Forget the connections that are not in `kept`: their settings have changed."""
        with self._lock:
            self._proven = {pair for pair in self._proven if pair <= set(kept)}
            self._readers.intersection_update(kept)
            self._superseded.intersection_update(kept)
            self._known.intersection_update(kept)
            self._limits = {name: known for name, known in self._limits.items() if name in kept}

    def _groups(self, live: Sequence[_Live], sync: SyncReport | None) -> Iterator[list[_Live]]:
        """The connections to each keyspace; identity is transitive."""
        left = list(live)
        while left:
            group, left = [left[0]], left[1:]
            for member in group:  # grows while it is read
                same = [other for other in left if self._same(member, other, sync)]
                group += same
                left = [other for other in left if other not in same]
            yield group

    def _owner(self, group: Sequence[_Live]) -> str:
        """The best reader; among equals, the first in the configuration."""
        known = {member.name: self._known_limits(member) for member in group}
        by_user: dict[str, int] = {}
        for member in group:
            limits = known[member.name] or 0
            by_user[member.metadata.user] = max(limits, by_user.get(member.metadata.user, 0))

        def preference(member: _Live) -> tuple[bool, int, bool]:
            limits = known[member.name]
            # what a user may not run, it may not run on another connection either
            limits = by_user[member.metadata.user] if limits is None else limits
            stays = member.name in self._readers or member.name not in self._known
            return member.metadata.role == "slave", limits, not stays

        return min(group, key=preference).name

    def _known_limits(self, member: _Live) -> int | None:
        """How much the user may not run; None if it was not tried on this connection."""
        connected_at, limits = self._limits.get(member.name, (0.0, 0))
        reports = member.snapshot.reports
        queues = reports.get("queues")
        # a connection that does not own its keyspace does not run the collectors of queues
        if queues is not None and (queues.success is not None or queues.not_available):
            limits = sum(map(_refused, reports.values()))
            self._limits[member.name] = (member.metadata.connected_at, limits)
            return limits
        return limits if connected_at == member.metadata.connected_at else None

    def _same(self, a: _Live, b: _Live, sync: SyncReport | None) -> bool:
        """Whether both are one keyspace: by the servers' identities, or else by the sync test."""
        pair = frozenset((a.name, b.name))
        if a.metadata.same_keyspace(b.metadata):
            self._proven.add(pair)
        elif a.metadata.db != b.metadata.db:
            self._proven.discard(pair)
        elif a.metadata.run_id and b.metadata.run_id:
            if _reached_after(a, b) and _reached_after(b, a):
                self._proven.discard(pair)
        elif (seen := _sync_result(a, b, sync)) is not None:
            (self._proven.add if seen else self._proven.discard)(pair)
        return pair in self._proven


def _fresh(snapshot: Snapshot, now: float, stale_after: float) -> bool:
    times = [dated.at for dated in snapshot.facts.values()]
    if snapshot.reached_at is not None:
        times.append(snapshot.reached_at)
    return bool(times) and now - max(times) <= stale_after


def _refused(report: CollectorReport) -> int:
    whole = report.success is None and bool(report.not_available)
    return _WHOLE_COLLECTOR if whole else len(report.not_available)


def _reached_after(member: _Live, other: _Live) -> bool:
    """Whether the connection reached its server after the other connection was opened.

    Until then it may have the identity of a server process that has been replaced since.
    """
    snapshot = member.snapshot
    if snapshot.reached_at is None:
        return False
    reached = snapshot.time - (snapshot.at - snapshot.reached_at)
    return reached >= other.metadata.connected_at


def _sync_result(a: _Live, b: _Live, sync: SyncReport | None) -> bool | None:
    """Whether the sync test saw one database; None if it did not test these two servers."""
    if sync is None or sync.time < max(a.metadata.connected_at, b.metadata.connected_at):
        return None  # it may have tested other servers
    pairs = (sync.pair(a.name, b.name), sync.pair(b.name, a.name))
    results = [pair.checks.get("set_get") for pair in pairs if pair is not None]
    known = [check.ok for check in results if check is not None]
    return any(known) if known else None
