"""Everything that is known at one time, and what is derived from it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from exporter.bullmq import Queue
from exporter.config.models import Config, Target
from exporter.diagnosis import Database, Diagnosis, databases_of, diagnose, known_workers
from exporter.state.history import Counts, Past, grown, window
from exporter.state.snapshots import EventFacts, Facts, Reload, Snapshot, SyncReport
from exporter.state.store import SnapshotStore, Stored


@dataclass(frozen=True)
class Moment:
    """The input of every page, JSON response and table: snapshots, configuration and time.

    It is created once per response and passed on, so that two parts of a page cannot disagree.
    Derived values are computed once.
    """

    config: Config
    stored: Stored
    owners: Mapping[str, str]
    """For each connection, the connection that reads its keyspace."""
    now: float
    """Monotonic time, in seconds."""
    time: float
    """Unix time, in seconds."""
    stale_after: float
    """Age in seconds above which facts are no longer shown."""
    blocked_after: float
    """Seconds after which a queue counts as blocked if its ready jobs do not move."""

    @property
    def snapshots(self) -> Sequence[Snapshot]:
        """One per connection that has been tried, in the order of the configuration."""
        return self.stored.snapshots

    @property
    def reload(self) -> Reload | None:
        """The result of the last configuration reload; None if reloading is not supported."""
        return self.stored.reload

    @property
    def sync(self) -> SyncReport | None:
        """The last round of the sync test; None if there is none or it is too old."""
        sync = self.stored.sync
        return sync if sync is not None and sync.fresh(self.now) else None

    @cached_property
    def known(self) -> Mapping[str, Snapshot]:
        """The snapshots by connection."""
        return {snapshot.connection: snapshot for snapshot in self.snapshots}

    @cached_property
    def databases(self) -> Sequence[Database]:
        """The databases with fresh facts."""
        return databases_of(self.snapshots, self.owners, self.now, self.stale_after, self.sync)

    @cached_property
    def targets(self) -> Mapping[str, Target]:
        """The targets of the queues that have any, by the queue's name."""
        return self.config.queues.targets_of(
            queue.name for database in self.databases for queue in database.table.queues
        )

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """The blocked queues of all databases, each with its reason."""
        return diagnose(self.databases, self.now, self.blocked_after)

    @cached_property
    def worker_totals(self) -> Mapping[str, Sequence[int | None]]:
        """The number of workers of each queue, by the database's connection; None if unknown."""
        return {
            each.connection: known_workers(each, self.now, self.blocked_after)
            for each in self.databases
        }

    def grown(self, database: Database, seconds: float) -> Mapping[Queue, Counts]:
        """By how much the counters of the database's queues have grown in the last `seconds`; only
        of the queues with new events."""
        key = (database.connection, seconds)
        found = self._grown.get(key)
        if found is None:
            snapshot = self.known[database.connection]
            facts = self.facts(snapshot, EventFacts)
            past = window(self.past(snapshot), self.now, seconds)
            found = self._grown[key] = grown(past, facts.queues if facts is not None else {})
        return found

    @cached_property
    def _grown(self) -> dict[tuple[str, float], Mapping[Queue, Counts]]:
        """What `grown` has returned, by connection and seconds: several alerts share a window."""
        return {}

    def past(self, snapshot: Snapshot) -> Past:
        """The last half hour of the snapshot's connection."""
        return self.stored.past.get(snapshot.connection, ())

    def is_up(self, snapshot: Snapshot) -> bool:
        """Whether the connection's Redis is reached."""
        return snapshot.is_up(self.now, self.stale_after)

    def facts(self, snapshot: Snapshot, kind: type[Facts]) -> Facts | None:
        """The snapshot's facts of this kind; None if there are none or they are too old."""
        return snapshot.get(kind, self.now, self.stale_after)


def moment_of(
    store: SnapshotStore,
    config: Config,
    *,
    stale_after: float | None = None,
    blocked_after: float | None = None,
) -> Moment:
    """The current moment; the configuration provides limits that are not given."""
    poll = config.poll
    stored, now = store.read(), time.monotonic()
    stale_after = poll.stale_after_seconds if stale_after is None else stale_after
    return Moment(
        config,
        stored,
        store.owners(stored.snapshots, now, stale_after),
        now,
        time.time(),
        stale_after,
        poll.blocked_after_seconds if blocked_after is None else blocked_after,
    )
