"""The page: every family in the catalogue's order, in the variants that clients ask for."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from exporter.bullmq import Queue
from exporter.diagnosis import Database, databases_of, diagnose
from exporter.exposition.blocked import diagnosis_lines
from exporter.exposition.chunks import Chunk, join_gzip
from exporter.exposition.events import EventWriter
from exporter.exposition.per_connection import View, connection_families
from exporter.exposition.process import process_families
from exporter.exposition.queues import QueueWriter
from exporter.exposition.text import Format, ending, header
from exporter.metrics import CATALOGUE, Family
from exporter.state.keyspaces import keyspace_owners
from exporter.state.snapshots import (
    Discovered,
    EventFacts,
    Reload,
    Snapshot,
    SyncReport,
    WorkerFacts,
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A format and whether it is compressed."""

    form: Format
    gzip: bool


class Page:
    """One state of everything, and its bytes in each variant as they are asked for."""

    def __init__(self, lines: Mapping[Family, Sequence[bytes | Chunk]], expires_at: float) -> None:
        self._lines = lines
        self._bodies: dict[Variant, bytes] = {}
        self._process: dict[Format, bytes] = {}
        self.expires_at = expires_at
        """Monotonic time at which something on the page becomes too old to be shown."""

    def body(self, variant: Variant) -> bytes:
        """The page's bytes; made once, then kept."""
        body = self._bodies.get(variant)
        if body is None:
            parts = self._parts(variant.form)
            body = self._bodies[variant] = join_gzip(parts) if variant.gzip else _text_of(parts)
        return body

    def _parts(self, form: Format) -> Iterator[bytes | Chunk]:
        for family in CATALOGUE:
            if lines := self._lines.get(family):
                yield header(family, form).encode()
                yield from lines
        if form not in self._process:
            self._process[form] = process_families(form).encode()
        yield self._process[form] + ending(form).encode()


def _text_of(parts: Iterable[bytes | Chunk]) -> bytes:
    return b"".join([part if isinstance(part, bytes) else part.text for part in parts])


class PageWriter:
    """Makes pages out of snapshots; for one thread."""

    def __init__(
        self, stale_after: float, blocked_after: float, *, first_shard: bool = True
    ) -> None:
        self._stale_after = stale_after
        self._blocked_after = blocked_after
        self._first_shard = first_shard
        self._writers: dict[str, QueueWriter] = {}
        self._events: dict[str, EventWriter] = {}

    def write(
        self,
        snapshots: Sequence[Snapshot],
        sync: SyncReport | None = None,
        reload: Reload | None = None,
    ) -> Page:
        """The page as of now."""
        now = time.monotonic()
        view = View(
            snapshots,
            keyspace_owners(snapshots, now, self._stale_after, sync),
            now,
            self._stale_after,
            sync if sync is not None and sync.fresh(now) else None,
            self._first_shard,
            reload,
        )
        databases = databases_of(snapshots, view.owners, now, self._stale_after)
        diagnosis = diagnose(databases, now, self._blocked_after)
        lines: dict[Family, list[bytes | Chunk]] = defaultdict(list)
        for family, line in chain(connection_families(view), diagnosis_lines(diagnosis)):
            lines[family].append(line.encode("utf-8", "replace"))
        shown = _shown(view, databases)
        parts = chain(self._queue_lines(view, databases, shown), self._event_lines(view, shown))
        for family, text in parts:
            if text is not None:
                lines[family].append(text)
        return Page(lines, self._expiry(view))

    def _queue_lines(
        self, view: View, databases: Sequence[Database], shown: Mapping[str, tuple[Queue, ...]]
    ) -> Iterator[tuple[Family, Chunk | None]]:
        tables = {database.connection: database.table for database in databases}
        for snapshot in view.snapshots:
            name = snapshot.connection
            if name in shown:
                writer = self._writers.setdefault(name, QueueWriter(name))
                workers = snapshot.get(WorkerFacts, view.now, view.stale_after)
                yield from writer.lines(shown[name], tables.get(name), workers)

    def _event_lines(
        self, view: View, shown: Mapping[str, tuple[Queue, ...]]
    ) -> Iterator[tuple[Family, Chunk | None]]:
        for snapshot in view.snapshots:
            facts = snapshot.get(EventFacts, view.now, view.stale_after)
            name = snapshot.connection
            if facts is not None and name in shown:
                writer = self._events.setdefault(name, EventWriter(name))
                yield from writer.lines(facts, shown[name])

    def _expiry(self, view: View) -> float:
        ages = [dated.at for snapshot in view.snapshots for dated in snapshot.facts.values()]
        ages += [snapshot.at for snapshot in view.snapshots]
        ends = [at + self._stale_after for at in ages]
        if view.sync is not None:
            ends.append(view.sync.at + view.sync.good_for)
        return min((end for end in ends if end > view.now), default=float("inf"))


def _shown(view: View, databases: Sequence[Database]) -> dict[str, tuple[Queue, ...]]:
    """The queues of each connection through which a keyspace is read.

    Those that exist; where that could not be read, those that are known, so that a fault of the
    queues' collector does not cost what others have read.
    """
    shown = {database.connection: database.table.queues for database in databases}
    for snapshot in view.snapshots:
        name, found = snapshot.connection, snapshot.get(Discovered, view.now, view.stale_after)
        if view.owners[name] == name and found is not None:
            shown.setdefault(name, found.queues)
    return shown
