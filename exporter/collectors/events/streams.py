"""Reads event streams in pages, each from where it was left, and feeds their aggregators."""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from exporter.bullmq import Queue
from exporter.collectors.contract import Context
from exporter.collectors.events.aggregator import Entry
from exporter.collectors.events.balance import Totals
from exporter.collectors.events.by_job_name import StreamAggregator
from exporter.collectors.events.ledger import Count, Ledger
from exporter.collectors.events.slos import QueueSlos
from exporter.connection import (
    KEY,
    Command,
    OversizedReplyError,
    Reply,
    ReplyError,
    is_field_list,
    is_string_list,
    unexpected,
)
from exporter.state.event_suspects import EventSuspects, Redeliveries

FIRST_ID: Final = b"0-0"
XREAD: Final = Command(
    "XREAD",
    probe=("COUNT", 1, "STREAMS", KEY, FIRST_ID),
    reply=list,
    cost="all bullmq_queue_jobs_*, bullmq_queue_job_*",
    large=True,
)
JOB_NAME: Final = Command("HMGET", "", ("name",), list, "job names")
"""Sent with the key of a job."""
_ID: Final = re.compile(rb"\d{1,20}-\d{1,20}")

_MAX_ENTRIES: Final = 500
"""Streams times COUNT of one XREAD: it blocks Redis for less than 0.5 ms, and larger reads are not
faster."""
_IDLE_STREAMS: Final = 100
"""Streams in one XREAD of the first round, in which most have no new entries."""
_BUSY_STREAMS: Final = 10
"""Streams in one XREAD of the following rounds."""
_MAX_PIPELINED: Final = 20
_INITIAL_ENTRY_BYTES: Final = 10_000.0


_NOTHING_READ: Final = (None, FIRST_ID)
"""Positions before the first entry."""


class StreamEnd(NamedTuple):
    """Where a stream ended at one moment; an absent stream ends at `FIRST_ID` with 0 entries."""

    last: bytes
    """The ID of the last entry added."""
    added: int | None
    """The number of entries ever added; None if the server does not count them."""
    first: bytes | None
    """The ID of the first entry that is kept; None if there is none."""
    length: int = 0
    """The number of entries that are kept."""


@dataclass(slots=True)
class Stream:
    """The event stream of a queue, and how far it was read and counted."""

    queue: Queue
    key: bytes
    aggregator: StreamAggregator
    suspects: EventSuspects = field(default_factory=lambda: EventSuspects(Redeliveries()))
    """Filled by the aggregator."""
    since_ms: float = float("inf")
    """Unix ms by the server's clock since when the exporter would have seen the queue: a stream
    that began later is new. Infinite if the queue was there when the exporter started."""
    located: bool = False
    """Whether `position` is known to be one in the stream that the server has now."""
    position: bytes | None = None
    """The ID of the last entry read; None until it was decided where to start."""
    added: int | None = None
    """`entries-added` at the last ID up to which losses were counted; None if unknown."""
    read: int = 0
    """Number of entries read after that ID."""
    end: StreamEnd | None = None
    """Up to where losses are counted as soon as everything up to there was read."""
    length: int = 0
    """The number of entries that were kept when the end was last looked up."""
    beyond: int = 0
    """Number of entries read after `end`; part of `read`."""
    drained: bool = False
    """Whether the last read returned fewer entries than it asked for, since `end` was looked up."""
    previous_position: bytes = FIRST_ID
    """`position` at the start of the current pass."""
    enabled: bool = True
    """Whether BullMQ writes events of this queue (`maxLenEvents` is not 0)."""
    max_length: int | None = None
    """`maxLenEvents` in `meta`: BullMQ keeps at least this many events. If it is set, a missing
    stream means that no events happened."""
    may_have_markers: bool = True
    """Whether the lists of the queue may contain markers, which are no jobs."""
    ledger: Ledger = field(default_factory=Ledger)
    """The audit of the queue's unfinished jobs."""
    counted: Count | None = None
    """The jobs at `end`; None if they are unknown."""
    at_end: Totals | None = None
    """The totals at `end`, once an entry after it was read."""
    packed: dict[int, bytes] = field(default_factory=dict)
    """Packed commands that count the jobs, by their number."""
    slos: QueueSlos | None = None
    """Filled by the aggregator, and with time by the collector; None if the queue has no SLO."""

    @property
    def all_seen(self) -> bool:
        """Whether the queue keeps events: then nothing happens to a job without one."""
        return (
            self.enabled
            and self.located
            and (self.max_length is not None or self.position not in _NOTHING_READ)
        )

    @property
    def events_read(self) -> int:
        """Number of events read since the queue was first seen."""
        return self.aggregator.read

    @property
    def last_start_ms(self) -> int:
        """Unix ms when a job was last started; 0 if none was seen."""
        return self.aggregator.last_start_ms

    def ready_since_ms(self, job: bytes) -> tuple[int | None, bool]:
        """Since when the job is ready, in Unix ms, None if it is not, or that was not seen; and
        whether it was put back after it had finished."""
        return self.aggregator.ready_since_ms(job)

    def active_since_ms(self, job: bytes) -> int | None:
        """When the job was started, in Unix ms; None if it is not active, or that was not seen."""
        return self.aggregator.active_since_ms(job)

    @property
    def read_after(self) -> bytes:
        """The ID after which to read."""
        return self.position or FIRST_ID

    @property
    def reached_end(self) -> bool:
        """Whether everything up to `end` was read."""
        end, position = self.end, self.read_after
        if end is None:
            return False
        # mostly equal, which is cheaper to compare
        return position == end.last or id_order(position) >= id_order(end.last)

    def feed(self, entries: Sequence[Entry]) -> None:
        """Aggregate these entries, and move on past them."""
        beyond = 0
        if self.end is not None and id_order(entries[-1][0]) > (last := id_order(self.end.last)):
            beyond = len(entries) - bisect_right(entries, last, key=_entry_order)
        totals = self.aggregator.feed(entries, beyond)
        if self.at_end is None:
            self.at_end = totals
        self.position = entries[-1][0]
        self.read += len(entries)
        self.beyond += beyond


XRead = Callable[[Sequence[Stream], int], bytes]
"""Packs an XREAD of these streams with this COUNT."""


class NameLookup:
    """Looks up the names of jobs whose `added` event was not seen."""

    max_jobs = 1000
    """Maximum number of jobs in one look-up."""

    def look_up(self, context: Context, read: Sequence[tuple[Stream, Sequence[Entry]]]) -> None:
        """Look up the names that the entries need; names that are not found stay unknown."""
        unnamed = [
            (stream, job)
            for stream, entries in read
            for job in stream.aggregator.unnamed_jobs(entries)
        ][: self.max_jobs]
        if not unnamed:
            return
        packed = b"".join(JOB_NAME.on(stream.queue.key + job) for stream, job in unnamed)
        limit = len(unnamed) * JOB_NAME.limit
        replies = context.client.batch(packed, len(unnamed), limit).replies
        for (stream, job), reply in zip(unnamed, replies, strict=True):
            if is_field_list(reply, 1) and reply[0]:
                stream.aggregator.add_names({job: reply[0]})


@dataclass(slots=True)
class Limit:
    """How much may still be read in this pass."""

    entries: int
    """Number of entries; the last page may exceed it."""
    until: float
    """Monotonic time."""

    @property
    def reached(self) -> bool:
        """Whether nothing more may be read."""
        return self.entries <= 0 or time.monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class _PageSize:
    """The size of one round trip."""

    width: int
    """Number of streams in one XREAD."""
    count: int
    """COUNT of one XREAD: entries per stream."""
    groups: int
    """Number of XREADs in the round trip."""


class StreamReader:
    """Reads streams in pages, limited in entries and, by the size of earlier entries, in bytes."""

    def __init__(self, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._names = NameLookup()
        self._entry_bytes = _INITIAL_ENTRY_BYTES
        self._cached_reads = CachedReads()
        self._first = 0
        """The index of the stream with which the next `read_all` begins."""
        self.updated: dict[bytes, Stream] = {}
        """Streams that had new entries, by key; the caller removes those it has processed."""

    def read_all(self, context: Context, streams: Sequence[Stream], limit: Limit) -> None:
        """Read a few entries of every stream, many streams in one command.

        If that exceeds the limit, the next call begins with the streams that were not read.
        """
        xread = self._cached_reads.of(streams)
        first = self._first if self._first < len(streams) else 0
        rest = self._round(
            context, [*streams[first:], *streams[:first]], _IDLE_STREAMS, xread, limit
        )
        self._first = (first + len(streams) - len(rest)) % len(streams) if rest else 0

    def read_on(self, context: Context, streams: Sequence[Stream], limit: Limit) -> None:
        """Read these streams up to their `end`, or as far as the limit permits.

        Each round reads a page of each, so that a busy queue does not delay another one.
        """
        while streams and not limit.reached:
            rest = self._round(context, streams, _BUSY_STREAMS, _xread, limit)
            streams = [s for s in streams if not (s.drained or s.reached_end)]
            if rest:
                return

    def _round(
        self,
        context: Context,
        streams: Sequence[Stream],
        width: int,
        xread: XRead,
        limit: Limit,
    ) -> Sequence[Stream]:
        """Read a page of each stream; returns those that were not read because of the limit.

        The first page is read in any case, so that each pass gets on.
        """
        start = 0
        while start < len(streams) and not (start and limit.reached):
            page = self._page(len(streams) - start, width)
            some = streams[start : start + page.width * page.groups]
            start += len(some)
            limit.entries -= self._read(context, some, page, xread)
        return streams[start:]

    def _page(self, streams: int, width: int) -> _PageSize:
        """The largest page within `page_bytes`, if every stream returns COUNT average entries."""
        entries = max(1, int(self._page_bytes / self._entry_bytes))
        width = min(width, streams, entries)
        count = max(1, min(_MAX_ENTRIES, entries) // width)
        return _PageSize(width, count, max(1, min(_MAX_PIPELINED, entries // (width * count))))

    def _read(
        self, context: Context, streams: Sequence[Stream], page: _PageSize, xread: XRead
    ) -> int:
        """Read a page of each stream and add the entries; returns their number."""
        groups = [streams[i : i + page.width] for i in range(0, len(streams), page.width)]
        packed = b"".join([xread(group, page.count) for group in groups])
        try:
            batch = context.client.batch(packed, len(groups), XREAD.limit)
        except OversizedReplyError:
            self._entry_bytes = float(self._page_bytes)  # read entries one by one from now on
            raise
        read = _entries_of(context, groups, batch.replies, page.count)
        with _malformed_entries_detected(read):
            self._names.look_up(context, [(s, entries) for s, entries in read if entries])
            for stream, entries in read:
                stream.drained = len(entries) < page.count
                if entries:
                    self.updated[stream.key] = stream
                    stream.feed(entries)
        total = sum([len(entries) for _, entries in read])
        self._update_entry_bytes(batch.size, total)
        return total

    def _update_entry_bytes(self, size: int, entries: int) -> None:
        """Update the expected size of an entry, which limits the next page."""
        if entries:
            average = size / entries
            # increase at once, decrease in steps: a page of large entries must not happen
            self._entry_bytes = max(average, (self._entry_bytes + average) / 2)


def _entries_of(
    context: Context,
    groups: Sequence[Sequence[Stream]],
    replies: Sequence[Reply],
    count: int,
) -> list[tuple[Stream, Sequence[Entry]]]:
    """The new entries of each stream, without streams that could not be read."""
    read: list[tuple[Stream, Sequence[Entry]]] = []
    for group, reply in zip(groups, replies, strict=True):
        if isinstance(reply, ReplyError):
            read += _read_separately(context, group, count)
            continue
        found = _found(reply, {stream.key for stream in group})
        read += [(stream, found.get(stream.key, ())) for stream in group]
    return read


class CachedReads:
    """Packed XREADs of many streams, reused while their positions do not change."""

    def __init__(self) -> None:
        self._streams: Sequence[Stream] = ()
        self._packed: dict[tuple[bytes, int, int], tuple[list[bytes | None], bytes]] = {}
        """Positions and packed command, by the first stream's key, number of streams and COUNT."""

    def of(self, streams: Sequence[Stream]) -> XRead:
        """A function that packs the XREAD of consecutive streams among these."""
        if streams is not self._streams or len(self._packed) > len(streams):
            self._streams, self._packed = streams, {}
        return self._xread

    def _xread(self, group: Sequence[Stream], count: int) -> bytes:
        key = (group[0].key, len(group), count)
        positions = [stream.position for stream in group]
        cached = self._packed.get(key)
        if cached is None or cached[0] != positions:
            cached = self._packed[key] = (positions, _xread(group, count))
        return cached[1]


def _xread(streams: Sequence[Stream], count: int) -> bytes:
    keys = [stream.key for stream in streams]
    positions = [stream.read_after for stream in streams]
    return XREAD.on(more=("COUNT", count, "STREAMS", *keys, *positions))


def _read_separately(
    context: Context, group: Sequence[Stream], count: int
) -> list[tuple[Stream, Sequence[Entry]]]:
    """Read each stream with its own XREAD: one key of a wrong type makes XREAD of many fail."""
    packed = b"".join(_xread([stream], count) for stream in group)
    batch = context.client.batch(packed, len(group), XREAD.limit)
    read: list[tuple[Stream, Sequence[Entry]]] = []
    for stream, reply in zip(group, batch.replies, strict=True):
        if isinstance(reply, ReplyError):
            if reply.not_available:
                raise reply
            context.errors.add(reply, f"XREAD {stream.key[:200]!r}")
        else:
            read.append((stream, _found(reply, (stream.key,)).get(stream.key, ())))
    return read


def _found(reply: Reply, asked: Container[bytes]) -> dict[bytes, Sequence[Entry]]:
    """The entries in a reply to XREAD, by key; only streams that have any.

    Raises `RedisFailure` unless it has streams that were asked for, each with entries.
    """
    if reply is None:
        return {}
    valid = type(reply) is list and all(
        type(found) is list
        and len(found) == 2
        and type(found[0]) is bytes
        and found[0] in asked
        and type(found[1]) is list
        and found[1]
        and is_entry(found[1][-1])
        for found in reply
    )
    if not valid:
        raise unexpected("XREAD")
    return dict(reply)


@contextmanager
def _malformed_entries_detected(
    read: Sequence[tuple[Stream, Sequence[Entry]]],
) -> Iterator[None]:
    """Turn an exception caused by malformed entries into a `RedisFailure`.

    Checking every entry in advance would take half as long as aggregating it.
    """
    try:
        yield
    except (AttributeError, IndexError, TypeError, ValueError):
        if all(is_entry(entry) for _, entries in read for entry in entries):
            raise
        raise unexpected("XREAD") from None


def is_entry(entry: Reply) -> bool:
    """Whether it is a stream entry: its ID, and its fields and values, alternating."""
    return type(entry) is list and len(entry) == 2 and is_id(entry[0]) and is_string_list(entry[1])


def is_id(entry_id: Reply) -> bool:
    """Whether it is the ID of a stream entry."""
    return type(entry_id) is bytes and _ID.fullmatch(entry_id) is not None


def id_ms(entry_id: bytes) -> int:
    """The time in an entry's ID, in Unix ms."""
    return int(entry_id.partition(b"-")[0])


def _entry_order(entry: Entry) -> tuple[int, int]:
    return id_order(entry[0])


def id_order(entry_id: bytes) -> tuple[int, int]:
    """An ID as a tuple that sorts in stream order."""
    ms, _, sequence = entry_id.partition(b"-")
    return int(ms), int(sequence)
