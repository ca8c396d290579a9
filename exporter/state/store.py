"""Where pollers leave their snapshots, and readers find them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from exporter.state.rates import Past, remembered
from exporter.state.snapshots import Reload, Snapshot, SyncReport


class SnapshotStore:
    """The newest snapshot of each connection.

    A snapshot is replaced by one assignment, which Python makes atomic, so no lock is needed.
    """

    def __init__(self, connections: Sequence[str]) -> None:
        self.connections = tuple(connections)
        self.changed = threading.Event()
        """Set at every publication; whoever waits for it clears it."""
        self.sync: SyncReport | None = None
        """The last round of the sync test."""
        self.reload: Reload | None = None
        """When the configuration was taken, and whether the last try to read it anew worked."""
        self._snapshots: dict[str, Snapshot] = {}
        self._past: dict[str, Past] = {}
        self._since = dict.fromkeys(self.connections, time.monotonic())

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the connection's snapshot."""
        name = snapshot.connection
        self._past[name] = remembered(self.past(name), snapshot)
        self._snapshots[name] = snapshot
        self.changed.set()

    def publish_sync(self, report: SyncReport | None) -> None:
        """Replace the result of the sync test; None while there is no test."""
        self.sync = report
        self.changed.set()

    def publish_reload(self, reload: Reload) -> None:
        """Replace what became of the configuration."""
        self.reload = reload
        self.changed.set()

    def change(self, connections: Sequence[str], kept: Collection[str]) -> None:
        """Show these connections from now on; what is known of them is forgotten unless kept."""
        for name in list(self._snapshots):
            if name not in kept:
                self._snapshots.pop(name)
                self._past.pop(name, None)
        self.connections = tuple(connections)
        now = time.monotonic()
        self._since = {name: self._since[name] if name in kept else now for name in connections}
        if self.sync is not None:
            pairs = tuple(p for p in self.sync.pairs if p.writer in kept and p.reader in kept)
            metadata = {name: known for name, known in self.sync.metadata.items() if name in kept}
            self.sync = replace(self.sync, pairs=pairs, metadata=metadata)
        self.changed.set()

    def past(self, connection: str) -> Past:
        """What the connection's snapshots told of events within the last minute."""
        return self._past.get(connection, ())

    def silences(self, now: float) -> dict[str, float]:
        """Seconds for which each connection has published nothing, by monotonic time."""
        heard = self._since | {snapshot.connection: snapshot.at for snapshot in self.snapshots()}
        return {name: now - at for name, at in heard.items()}

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshots there are, in the order of the configuration."""
        found = (self._snapshots.get(name) for name in self.connections)
        return tuple(snapshot for snapshot in found if snapshot is not None)
