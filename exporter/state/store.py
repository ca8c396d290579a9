"""The store where pollers publish snapshots and readers find them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_

from exporter.state.history import Past, extend_past
from exporter.state.keyspaces import Keyspaces
from exporter.state.queue_history import QueueHistories
from exporter.state.snapshots import Reload, Snapshot, SyncReport


@dataclass(frozen=True, slots=True)
class Stored:
    """The content of the store at one time."""

    snapshots: tuple[Snapshot, ...]
    """In the order of the configuration; a connection not polled yet has none."""
    past: Mapping[str, Past]
    """The last half hour, by connection."""
    histories: QueueHistories
    """The last hour of each queue, which goes on growing."""
    sync: SyncReport | None
    """The last round of the sync test."""
    reload: Reload | None
    """The outcome of the last load of the configuration."""
    render_failed_at: float | None
    """Monotonic time at which a metrics page could not be rendered; None if that never happened."""

    def is_same(self, other: Stored) -> bool:
        """Whether nothing was published between the two reads."""
        return (
            len(self.snapshots) == len(other.snapshots)
            and all(map(is_, self.snapshots, other.snapshots))
            and self.sync is other.sync
            and self.reload is other.reload
            and self.render_failed_at == other.render_failed_at
        )


class SnapshotStore:
    """The newest snapshot of each connection.

    A snapshot is replaced by one assignment, which is atomic in Python, so no lock is needed.
    """

    def __init__(self, connections: Sequence[str]) -> None:
        self.connections = tuple(connections)
        self.changed = threading.Event()
        """Set at every publication; the waiting thread clears it."""
        self.sync: SyncReport | None = None
        """The last round of the sync test."""
        self.reload: Reload | None = None
        """The outcome of the last load of the configuration."""
        self.render_failed_at: float | None = None
        """When a metrics page could not be rendered, set by the renderer."""
        self.histories = QueueHistories()
        """The last hour of each queue, recorded by the renderer's thread."""
        self._keyspaces = Keyspaces()
        self._snapshots: dict[str, Snapshot] = {}
        self._past: dict[str, Past] = {}
        self._since = dict.fromkeys(self.connections, time.monotonic())

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the connection's snapshot."""
        name = snapshot.connection
        self._past[name] = extend_past(self._past.get(name, ()), snapshot)
        self._snapshots[name] = snapshot
        self.changed.set()

    def publish_sync(self, report: SyncReport | None) -> None:
        """Replace the result of the sync test; None while the test is off."""
        self.sync = report
        self.changed.set()

    def publish_reload(self, reload: Reload) -> None:
        """Replace the outcome of loading the configuration."""
        self.reload = reload
        self.changed.set()

    def change(self, connections: Sequence[str], kept: Collection[str]) -> None:
        """Replace the set of connections; the state of those not in `kept` is discarded."""
        for name in list(self._snapshots):
            if name not in kept:
                self._snapshots.pop(name)
                self._past.pop(name, None)
                self.histories.forget(name, time.monotonic())
        self._keyspaces.forget(kept)
        self.connections = tuple(connections)
        now = time.monotonic()
        self._since = {name: self._since[name] if name in kept else now for name in connections}
        if self.sync is not None:
            pairs = tuple(p for p in self.sync.pairs if p.writer in kept and p.reader in kept)
            metadata = {name: known for name, known in self.sync.metadata.items() if name in kept}
            self.sync = replace(self.sync, pairs=pairs, metadata=metadata)
        self.changed.set()

    def read(self) -> Stored:
        """The current content."""
        return Stored(
            self.snapshots(),
            dict(self._past),
            self.histories,
            self.sync,
            self.reload,
            self.render_failed_at,
        )

    def owners(
        self, snapshots: Sequence[Snapshot], now: float, stale_after: float
    ) -> Mapping[str, str]:
        """For each connection, the connection that owns its keyspace: see `Keyspaces.owners`."""
        return self._keyspaces.owners(snapshots, now, stale_after, self.sync)

    def owner(self, own: Snapshot, stale_after: float) -> str:
        """The connection that owns the keyspace of `own`, which need not be published yet."""
        known = self._snapshots | {own.connection: own}
        snapshots = [known[name] for name in self.connections if name in known]
        owners = self._keyspaces.owners(snapshots, own.at, stale_after, self.sync, remember=False)
        return owners.get(own.connection, own.connection)

    def resume(self, name: str) -> bool:
        """Whether another connection has read an owner's keyspace meanwhile: `Keyspaces.resume`."""
        return self._keyspaces.resume(name)

    def seconds_since_publication(self, now: float) -> dict[str, float]:
        """Seconds since each connection last published, at that monotonic time."""
        published = self._since | {
            snapshot.connection: snapshot.at for snapshot in self.snapshots()
        }
        return {name: now - at for name, at in published.items()}

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The existing snapshots, in the order of the configuration."""
        found = (self._snapshots.get(name) for name in self.connections)
        return tuple(snapshot for snapshot in found if snapshot is not None)
