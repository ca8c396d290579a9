"""The metrics page: all families in the order of the catalogue, in each requested variant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from exporter.bullmq import Queue
from exporter.exposition.chunks import Chunk, join_gzip
from exporter.exposition.events import EventWriter
from exporter.exposition.formats import Format
from exporter.exposition.per_connection import (
    connection_families,
    exporter_families,
    isolation_families,
)
from exporter.exposition.process import process_families
from exporter.exposition.protobuf import family_header, varint
from exporter.exposition.queues import QueueWriter
from exporter.exposition.samples import Samples
from exporter.exposition.slos import SloWriter
from exporter.exposition.text import ending, header
from exporter.metrics import CATALOGUE, Family
from exporter.state.snapshots import Discovered, EventFacts
from exporter.state.workers import WorkerFacts
from exporter.views.moment import Moment
from exporter.views.scaling import OutlookCache


@dataclass(frozen=True, slots=True)
class Variant:
    """A format, plain or compressed with gzip."""

    form: Format
    gzip: bool


class Page:
    """The metrics of one moment; its bytes are made when a variant is first requested."""

    def __init__(
        self,
        samples: Mapping[Family, Sequence[Samples]],
        expires_at: float,
        connections: Collection[str] = (),
    ) -> None:
        self._samples = samples
        self._parts: dict[Format, list[bytes | Chunk]] = {}
        self._bodies: dict[Variant, bytes] = {}
        self.expires_at = expires_at
        """Monotonic time at which the first value on the page becomes too old to expose."""
        self.connections = frozenset(connections)
        """The connections that had been tried at the page's moment."""

    def body(self, variant: Variant) -> bytes:
        """The page's bytes in this variant; made once, then cached."""
        body = self._bodies.get(variant)
        if body is None:
            parts = self.encode(variant.form)
            body = self._bodies[variant] = join_gzip(parts) if variant.gzip else _plain(parts)
        return body

    def has(self, variant: Variant) -> bool:
        """Whether the bytes of this variant are made."""
        return variant in self._bodies

    def encode(self, form: Format) -> Sequence[bytes | Chunk]:
        """The page in parts, in this format; made once, then cached."""
        if form not in self._parts:
            self._parts[form] = list(self._encode(form))
        return self._parts[form]

    def _encode(self, form: Format) -> Iterator[bytes | Chunk]:
        for family in CATALOGUE:
            if samples := self._samples.get(family):
                parts = [each.part(form) for each in samples]
                yield _header(family, form, parts)
                yield from parts
        yield process_families(form) + ending(form).encode()


def _header(family: Family, form: Format, parts: Sequence[bytes | Chunk]) -> bytes:
    """What precedes the samples of a family."""
    if form is not Format.PROTOBUF:
        return header(family, form).encode()
    fields = family_header(family)
    size = sum([len(part) if isinstance(part, bytes) else part.size for part in parts])
    return varint(len(fields) + size) + fields


def _plain(parts: Iterable[bytes | Chunk]) -> bytes:
    return b"".join([part if isinstance(part, bytes) else part.text for part in parts])


class PageWriter:
    """Writes pages and caches the unchanged parts between them. Not thread-safe."""

    def __init__(self) -> None:
        self._writers: dict[str, QueueWriter] = {}
        self._events: dict[str, EventWriter] = {}
        self._slos: dict[str, SloWriter] = {}
        self._outlooks: dict[str, OutlookCache] = {}

    def write(self, moment: Moment, failures: int = 0) -> Page:
        """The page of that moment; `failures` is how many pages could not be rendered so far."""
        samples: dict[Family, list[Samples]] = defaultdict(list)
        shown = _shown_queues(moment)
        found: Iterator[tuple[Family, Samples | None]] = chain(
            exporter_families(failures),
            connection_families(moment),
            isolation_families(moment.diagnosis),
            self._queue_samples(moment, shown),
            self._event_samples(moment, shown),
        )
        for family, each in found:
            if each is not None:
                samples[family].append(each)
        return Page(samples, _expiry(moment), [each.connection for each in moment.snapshots])

    def _queue_samples(
        self, moment: Moment, shown: Mapping[str, tuple[Queue, ...]]
    ) -> Iterator[tuple[Family, Samples | None]]:
        databases = {database.connection: database for database in moment.databases}
        settings = moment.config.queues
        for snapshot in moment.snapshots:
            name = snapshot.connection
            if name in shown:
                writer = self._writers.setdefault(name, QueueWriter(name))
                database = databases.get(name)
                if database is not None:
                    workers = moment.worker_totals[name]
                    cache = self._outlooks.setdefault(name, OutlookCache())
                    found = cache.outlooks(moment, database, workers)
                    known = writer.samples(shown[name], database.table, workers, found, settings)
                    yield from known
                    yield from writer.blocked(moment.diagnosis.reasons[name])
                else:
                    facts = moment.facts(snapshot, WorkerFacts)
                    totals = [facts.of(queue).total if facts else None for queue in shown[name]]
                    yield from writer.samples(shown[name], None, totals, (), settings)

    def _event_samples(
        self, moment: Moment, shown: Mapping[str, tuple[Queue, ...]]
    ) -> Iterator[tuple[Family, Samples | None]]:
        for snapshot in moment.snapshots:
            facts = moment.facts(snapshot, EventFacts)
            name = snapshot.connection
            if facts is not None and name in shown:
                writer = self._events.setdefault(name, EventWriter(name))
                yield from writer.samples(facts, shown[name], snapshot.time, snapshot.since)
                slos = self._slos.setdefault(name, SloWriter(name))
                yield from slos.samples(facts.slos, shown[name], snapshot.time)


def exporter_page(failures: int) -> Page:
    """A page without anything that was read from Redis; it does not expire."""
    return Page({family: [each] for family, each in exporter_families(failures)}, float("inf"))


def _expiry(moment: Moment) -> float:
    """Monotonic time at which the first fact becomes too old to expose."""
    ages = [dated.at for snapshot in moment.snapshots for dated in snapshot.facts.values()]
    ages += [snapshot.at for snapshot in moment.snapshots]
    ends = [at + moment.stale_after for at in ages]
    if moment.sync is not None:
        ends.append(moment.sync.at + moment.sync.valid_seconds)
    return min((end for end in ends if end > moment.now), default=float("inf"))


def _shown_queues(moment: Moment) -> dict[str, tuple[Queue, ...]]:
    """The queues of each connection that reads a keyspace.

    These are the queues of the queues collector. Where it failed, they are the discovered queues,
    so that its failure does not hide what other collectors read.
    """
    shown = {database.connection: database.table.queues for database in moment.databases}
    for snapshot in moment.snapshots:
        name, discovered = snapshot.connection, moment.facts(snapshot, Discovered)
        if moment.owners[name] == name and discovered is not None:
            shown.setdefault(name, discovered.queues)
    return shown
