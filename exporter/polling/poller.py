"""The poller: one thread per client that runs its collectors and publishes snapshots."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from exporter.collectors import (
    Collector,
    CommandErrors,
    Context,
    Discovery,
    Scope,
    WorkersCollector,
)
from exporter.config.models import Config
from exporter.connection import Client
from exporter.polling.connection_supervisor import ConnectionSupervisor
from exporter.polling.discovery_pacer import DiscoveryPacer
from exporter.polling.recorder import Recorder
from exporter.state.event_times import EventTimes
from exporter.state.oldest_jobs import OldestJobs
from exporter.state.snapshots import Dated, Discovered, Snapshot
from exporter.state.store import SnapshotStore
from exporter.state.unfinished_jobs import UnfinishedJobs
from exporter.state.workers import WorkerFacts

logger = logging.getLogger("exporter.polling")


class Poller:
    """Polls through one client, for all connection names that share it."""

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
        self._since = time.time()
        self._supervisor = ConnectionSupervisor(
            client, names[0], config.poll.interval_seconds, config.events
        )
        self._recorder = Recorder(names[0])
        self._pacer = DiscoveryPacer(self._discovery, client, self._recorder, config.queues)
        self._discovered = Discovered((), {})
        self._facts: dict[str, Dated] = {}
        self._reached_at: float | None = None
        self._reading_since = 0.0
        """Monotonic time since when no other connection has read this keyspace."""
        self._event_times = EventTimes()
        self._unfinished = UnfinishedJobs()
        self._oldest = OldestJobs()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poll-{names[0]}", daemon=True)

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop, and abort its call to Redis if one is in progress."""
        self._stop.set()
        self._client.abort()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, at most `timeout` seconds."""
        self._thread.join(timeout)

    def publish_for(self, names: Sequence[str]) -> None:
        """Publish for these connection names from now on; the first must stay the same."""
        self._names = tuple(names)

    def discover(self) -> None:
        """Start a pass of discovery at the next poll. Thread-safe."""
        self._pacer.request()

    def poll(self) -> None:
        """Poll once: run every collector of this connection, then publish the new snapshot."""
        with _garbage_kept():
            self._poll()

    def _poll(self) -> None:
        if self._supervisor.check():
            self._reached_at = time.monotonic()
            known = self._supervisor.metadata
            if known is not None and known.other_masters:
                self._recorder.log_one_node()
        reads_queues = self._owns_keyspace()
        if reads_queues and self._store.resume(self._names[0]):
            self._reading_since, self._event_times = time.monotonic(), EventTimes()
            self._unfinished, self._oldest = UnfinishedJobs(), OldestJobs()
        discovered = self._known_queues()
        for collector in self._collectors:
            if collector.scope is Scope.CONNECTION or reads_queues:
                self._collect(collector, discovered)
            else:
                self._drop(collector.name)
        if not reads_queues:
            self._drop(self._discovery.name)
        elif self._supervisor.failure is None and self._discovery.complete:
            self._store_facts(self._discovery.name, discovered)
        self._publish()

    def poll_once(self) -> bool:
        """Run a full discovery pass, then poll its queues. Returns whether Redis was reached."""
        self.poll()
        if not self._pacer.due:
            # the pass before may have used up Redis' time for a while, above all on a busy machine
            self._pacer.request()
        self._discover(float("inf"))
        self.poll()
        return self._supervisor.failure is None

    def _run(self) -> None:
        next_poll = time.monotonic()
        while not self._stop.is_set():
            next_poll = next_start(next_poll, time.monotonic(), self._poll_options.interval_seconds)
            was_complete = self._discovery.complete
            try:
                self.poll()
                self._discover(next_poll)
                if self._supervisor.failure is None:
                    self._supervisor.poll_succeeded()
            except Exception:
                logger.exception("unexpected error during a poll; this is a bug, please report it")
            if was_complete or not self._discovery.complete:
                self._wait(next_poll)
            # else the first pass has just ended: poll its queues at once
        self._supervisor.close()

    def _wait(self, until: float) -> None:
        """Wait for the next poll, but return as soon as a lost Redis is reached again."""
        while not self._stop.is_set() and (now := time.monotonic()) < until:
            wake = min(until, self._supervisor.next_try)
            self._stop.wait(max(0.0, wake - now))
            if wake < until and not self._stop.is_set() and self._supervisor.check():
                return

    def _collect(self, collector: Collector, discovered: Discovered) -> None:
        if self._supervisor.failure is not None:
            self._recorder.failed(collector.name, self._supervisor.failure)
            return
        context = Context(
            self._client,
            time.monotonic(),
            discovered.queues,
            CommandErrors(one_server=not self._client.settings.cluster),
            all_queues=self._discovery.complete,
            event_times=self._event_times,
            unfinished=self._unfinished,
            oldest=self._oldest,
            reading_since=self._reading_since,
        )
        facts = self._recorder.run(
            collector.name, lambda: collector.collect(context), context.errors
        )
        if facts is not None:
            self._store_facts(collector.name, facts)
        self._detect_loss()

    def _known_queues(self) -> Discovered:
        """The queues that discovery knows now; if it raises, those of the last poll."""
        current = self._recorder.guard(self._discovery.name, self._discovery.current)
        self._discovered = self._discovered if current is None else current
        return self._discovered

    def _discover(self, until: float) -> None:
        if self._supervisor.failure is not None or not self._owns_keyspace():
            return
        workers = self._facts.get(WorkersCollector.name)
        if workers is not None and isinstance(workers.facts, WorkerFacts):
            self._pacer.add_queues_of_workers(workers.facts.elsewhere)
        if self._pacer.due:
            self._pacer.advance(until, self._stop)
        self._detect_loss()

    def _detect_loss(self) -> None:
        if not self._stop.is_set():  # `stop` aborts the connection itself
            self._supervisor.detect_loss()

    def _owns_keyspace(self) -> bool:
        """Whether this keyspace is read here, and not through another connection."""
        stale_after = self._poll_options.stale_after_seconds
        return self._store.owner(self._snapshot(), stale_after) in self._names

    # --- facts -------------------------------------------------------------------------------

    def _store_facts(self, name: str, facts: object) -> None:
        self._facts[name] = Dated(facts, time.monotonic())

    def _drop(self, name: str) -> None:
        """Drop a collector's facts and report: another connection reads its keyspace now."""
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
            ping_refusal=self._supervisor.ping_refusal,
            since=self._since,
            discovery_redis_seconds=self._pacer.redis_seconds,
            reports=self._recorder.reports,
            facts={type(dated.facts): dated for dated in self._facts.values()},
        )


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Collect no cyclic garbage meanwhile, in any thread.

    A poll makes millions of objects, hardly any of them in a cycle. To look for cycles again and
    again takes a sixth to a quarter of its CPU time where ten thousand queues change. What others
    leave behind, above all HTTP connections, waits until the poll ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def next_start(planned: float, started: float, interval: float) -> float:
    """When the poll after one that was planned for a time, and started at another, is due.

    A thread wakes up a little late each time. Counting from the plan keeps that from adding up to
    fewer polls. A poll that started early, or more than an interval late, begins a new plan.
    """
    late = started - planned
    return (planned if 0 <= late < interval else started) + interval
