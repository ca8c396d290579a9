"""Where pollers leave their snapshots, and readers find them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from exporter.snapshot import Snapshot, SyncReport


class Board:
    """The newest snapshot of each connection.

    A snapshot is replaced by one assignment, which Python makes atomic, so no lock is needed.
    """

    def __init__(self, connections: Sequence[str]) -> None:
        self.connections = tuple(connections)
        self.changed = threading.Event()
        """Set at every publication; whoever waits for it clears it."""
        self.sync: SyncReport | None = None
        """The last round of the sync test."""
        self._snapshots: dict[str, Snapshot] = {}

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the connection's snapshot."""
        self._snapshots[snapshot.connection] = snapshot
        self.changed.set()

    def publish_sync(self, report: SyncReport) -> None:
        """Replace the result of the sync test."""
        self.sync = report
        self.changed.set()

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshots there are, in the order of the configuration."""
        found = (self._snapshots.get(name) for name in self.connections)
        return tuple(snapshot for snapshot in found if snapshot is not None)
