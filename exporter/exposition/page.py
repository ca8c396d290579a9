"""The page: every family in the catalogue's order, in the variants that clients ask for."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.diagnosis import Database, databases_of, diagnose
from exporter.exposition.blocked import diagnosis_lines
from exporter.exposition.compress import compress
from exporter.exposition.events import EventWriter
from exporter.exposition.process import process_families
from exporter.exposition.queues import QueueWriter
from exporter.exposition.small import View, small_families
from exporter.exposition.text import Format, ending, header
from exporter.keyspaces import keyspace_owners
from exporter.metrics import CATALOGUE, Family
from exporter.snapshot import EventFacts, Reload, Snapshot, SyncReport


@dataclass(frozen=True, slots=True)
class Variant:
    """A format and whether it is compressed."""

    form: Format
    gzip: bool


class Page:
    """One state of everything, and its bytes in each variant as they are asked for."""

    def __init__(self, lines: dict[Family, list[str]], expires_at: float) -> None:
        self._lines = lines
        self._bodies: dict[Variant, bytes] = {}
        self._process: dict[Format, bytes] = {}
        self.expires_at = expires_at
        """Monotonic time at which something on the page becomes too old to be shown."""

    def body(self, variant: Variant) -> bytes:
        """The page's bytes; made once, then kept."""
        body = self._bodies.get(variant)
        if body is None:
            body = self._bodies[variant] = self._make(variant)
        return body

    def _make(self, variant: Variant) -> bytes:
        parts = self._parts(variant.form)
        return compress(parts) if variant.gzip else b"".join(parts)

    def _parts(self, form: Format) -> Iterator[bytes]:
        """A family at a time: the whole of a large page is large."""
        for family in CATALOGUE:
            if lines := self._lines.get(family):
                yield _encoded(header(family, form) + "".join(lines))
        if form not in self._process:
            self._process[form] = _encoded(process_families(form) + ending(form))
        yield self._process[form]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


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
        lines: dict[Family, list[str]] = defaultdict(list)
        for family, line in small_families(view):
            lines[family].append(line)
        databases = databases_of(snapshots, view.owners, now, self._stale_after)
        for database in databases:
            for family, text in self._writer(database.connection).lines(
                database.table, database.workers
            ):
                lines[family].append(text)
        for family, line in self._event_lines(view, databases):
            lines[family].append(line)
        for family, line in diagnosis_lines(diagnose(databases, now, self._blocked_after)):
            lines[family].append(line)
        return Page(lines, self._expiry(view))

    def _event_lines(
        self, view: View, databases: Sequence[Database]
    ) -> Iterator[tuple[Family, str]]:
        """For the queues that are on the page."""
        tables = {database.connection: database.table for database in databases}
        for snapshot in view.snapshots:
            facts = snapshot.get(EventFacts, view.now, view.stale_after)
            name = snapshot.connection
            if facts is not None and name in tables:
                writer = self._events.setdefault(name, EventWriter(name))
                yield from writer.lines(facts, tables[name].queues)

    def _writer(self, connection: str) -> QueueWriter:
        writer = self._writers.get(connection)
        if writer is None:
            writer = self._writers[connection] = QueueWriter(connection)
        return writer

    def _expiry(self, view: View) -> float:
        ages = [dated.at for snapshot in view.snapshots for dated in snapshot.facts.values()]
        ages += [snapshot.at for snapshot in view.snapshots]
        ends = [at + self._stale_after for at in ages]
        if view.sync is not None:
            ends.append(view.sync.at + view.sync.good_for)
        return min((end for end in ends if end > view.now), default=float("inf"))
