"""The poller: one thread for each client, which runs its collectors and publishes snapshots."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from exporter.collectors import Collector, Context, Discovery, Scope
from exporter.config.models import Config
from exporter.connection import Client
from exporter.polling.connection_supervisor import ConnectionSupervisor
from exporter.polling.discovery_pacer import DiscoveryPacer
from exporter.polling.recorder import Recorder
from exporter.state.keyspaces import keyspace_owners
from exporter.state.snapshots import Dated, Discovered, Snapshot
from exporter.state.store import SnapshotStore

logger = logging.getLogger("exporter.polling")


class Poller:
    """Polls through one client, for all the connection names that share it."""

    def __init__(
        self,
        config: Config,
        names: Sequence[str],
        client: Client,
        collectors: Sequence[Collector],
        store: SnapshotStore,
    ) -> None:
        self._names = tuple(names)
        self._poll_options = config.poll
        self._client = client
        self._collectors = tuple(collectors)
        self._discovery = Discovery(config.queues)
        self._store = store
        self._supervisor = ConnectionSupervisor(client, names[0], config.poll.interval_seconds)
        self._recorder = Recorder(names[0])
        self._pacer = DiscoveryPacer(
            self._discovery, client, self._recorder, config.queues.discovery_interval_seconds
        )
        self._found = Discovered((), {})
        self._facts: dict[str, Dated] = {}
        self._reached_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poll-{names[0]}", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop, and break off the call to Redis that it may be in."""
        self._stop.set()
        self._client.abort()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, so long at the most."""
        self._thread.join(timeout)

    def share(self, names: Sequence[str]) -> None:
        """Publish for these connection names from now on; the first stays the same."""
        self._names = tuple(names)

    def poll(self) -> None:
        """One poll: every collector that runs on this connection now, then the new snapshot."""
        if self._supervisor.check():
            self._reached_at = time.monotonic()
        reads_queues = self._owns_keyspace()
        found = self._known_queues()
        for collector in self._collectors:
            if collector.scope is Scope.CONNECTION or reads_queues:
                self._collect(collector, found)
            else:
                self._leave(collector.name)
        if not reads_queues:
            self._leave(self._discovery.name)
        elif self._supervisor.failure is None and self._discovery.complete:
            self._keep(self._discovery.name, found)
        self._publish()

    def poll_once(self) -> bool:
        """A whole discovery pass, then a poll of all that it found; whether Redis was reached."""
        self.poll()
        self._discover(float("inf"))
        self.poll()
        return self._supervisor.failure is None

    def _run(self) -> None:
        while not self._stop.is_set():
            next_poll = time.monotonic() + self._poll_options.interval_seconds
            known = self._discovery.complete
            try:
                self.poll()
                self._discover(next_poll)
                if self._supervisor.failure is None:
                    self._supervisor.settle()
            except Exception:
                logger.exception("a poll failed by a mistake in the exporter; please report it")
            if known or not self._discovery.complete:
                self._rest(next_poll)
            # else the first pass has just ended: show its queues at once
        self._supervisor.close()

    def _rest(self, until: float) -> None:
        """Wait for the next poll, which comes at once when Redis is back."""
        while not self._stop.is_set() and (now := time.monotonic()) < until:
            wake = min(until, self._supervisor.next_try)
            self._stop.wait(max(0.0, wake - now))
            if wake < until and not self._stop.is_set() and self._supervisor.check():
                return

    def _collect(self, collector: Collector, found: Discovered) -> None:
        if self._supervisor.failure is not None:
            self._recorder.failed(collector.name, self._supervisor.failure)
            return
        context = Context(self._client, time.monotonic(), found.queues)
        facts = self._recorder.run(
            collector.name, lambda: collector.collect(context), context.errors
        )
        if facts is not None:
            self._keep(collector.name, facts)
        self._notice_loss()

    def _known_queues(self) -> Discovered:
        """Those that discovery knows now; after a mistake in it, those of the last poll."""
        found = self._recorder.guard(self._discovery.name, self._discovery.current)
        self._found = self._found if found is None else found
        return self._found

    def _discover(self, until: float) -> None:
        if self._supervisor.failure is None and self._pacer.due and self._owns_keyspace():
            self._pacer.advance(until, self._stop)
            self._notice_loss()

    def _notice_loss(self) -> None:
        if not self._stop.is_set():  # `stop` breaks the connection off itself
            self._supervisor.notice()

    def _owns_keyspace(self) -> bool:
        """Whether no earlier connection reads this keyspace."""
        mine = self._snapshot()
        earlier = []
        for snapshot in self._store.snapshots():
            if snapshot.connection == mine.connection:
                break
            earlier.append(snapshot)
        owners = keyspace_owners(
            [*earlier, mine],
            time.monotonic(),
            self._poll_options.stale_after_seconds,
            self._store.sync,
        )
        return owners[mine.connection] == mine.connection

    # --- facts -------------------------------------------------------------------------------

    def _keep(self, name: str, facts: object) -> None:
        self._facts[name] = Dated(facts, time.monotonic())

    def _leave(self, name: str) -> None:
        """Another connection reads this now: what was found here is no longer shown."""
        self._facts.pop(name, None)
        self._recorder.forget(name)

    def _publish(self) -> None:
        if self._stop.is_set():  # a successor may have published already
            return
        snapshot = self._snapshot()
        for name in self._names:
            self._store.publish(replace(snapshot, connection=name))

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            connection=self._names[0],
            at=time.monotonic(),
            time=time.time(),
            up=self._supervisor.failure is None,
            reached_at=self._reached_at,
            metadata=self._supervisor.metadata,
            ping_seconds=self._supervisor.ping_seconds,
            pings=self._supervisor.pings,
            reconnects=self._supervisor.reconnects,
            last_error=self._supervisor.last_error,
            reports=self._recorder.reports,
            facts={type(dated.facts): dated for dated in self._facts.values()},
        )
