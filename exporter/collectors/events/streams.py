"""Reading streams: where each was left, who has news, and what was lost in between."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context
from exporter.collectors.events.by_job_name import StreamFold
from exporter.collectors.events.fold import Entry
from exporter.connection import (
    KEY,
    Command,
    Reply,
    ReplyError,
    is_field_list,
    is_string_list,
    unexpected,
)

FIRST_ID: Final = b"0-0"
XREAD: Final = Command(
    "XREAD",
    probe=("COUNT", 1, "STREAMS", KEY, FIRST_ID),
    reply=list,
    cost="all bullmq_jobs_*, bullmq_job_*",
)
JOB_NAME: Final = Command("HMGET", "", ("name",), list, "job names")
"""On the key of a job."""
_ID: Final = re.compile(rb"\d{1,20}-\d{1,20}")

_MOST_ENTRIES: Final = 500
"""Streams times COUNT of one XREAD: it holds Redis for less than half a millisecond, and twice as
many are read no faster."""
_QUIET_STREAMS: Final = 100
_BUSY_STREAMS: Final = 10
_PIPELINED: Final = 20
_FIRST_GUESS_BYTES: Final = 10_000.0


@dataclass(slots=True)
class Stream:
    """A queue's stream and how far it has been read."""

    queue: Queue
    key: bytes
    fold: StreamFold
    position: bytes | None = None
    """The last id read; None until its end was looked up."""
    added: int | None = None
    """`entries-added` when all had been read and counted; None where the server does not tell."""
    read: int = 0
    """Entries read since."""
    before: bytes = FIRST_ID
    """The last id read before the pass that is under way."""
    enabled: bool = True
    """Whether BullMQ keeps events of it at all (`maxLenEvents` is not 0)."""
    announced: bool = False
    """Whether its meta says how many: then nothing has happened where there is no stream yet."""

    @property
    def at(self) -> bytes:
        """The id after which to read."""
        return self.position or FIRST_ID


XRead = Callable[[Sequence[Stream], int], bytes]
"""Packs an XREAD of some streams, with so many entries of each at the most."""


class NameLookup:
    """Asks for the names of jobs whose `added` was not seen; so many in one go at the most."""

    most = 1000

    def look_up(self, context: Context, news: Sequence[tuple[Stream, Sequence[Entry]]]) -> None:
        """Names that are not found stay unknown."""
        wanted = [(stream, job) for stream, found in news for job in stream.fold.nameless(found)]
        wanted = wanted[: self.most]
        if not wanted:
            return
        packed = b"".join(JOB_NAME.on(stream.queue.key + job) for stream, job in wanted)
        replies = context.client.batch(packed, len(wanted)).replies
        for (stream, job), reply in zip(wanted, replies, strict=True):
            if is_field_list(reply, 1) and reply[0]:
                stream.fold.learn({job: reply[0].decode("utf-8", "backslashreplace")})


@dataclass(frozen=True, slots=True)
class _ReadPlan:
    """The shape of a round trip."""

    width: int
    """Streams in one XREAD."""
    count: int
    groups: int
    """XREADs in the round trip."""


class Reader:
    """Reads streams in pages that are bounded in entries and, by what they were, in bytes."""

    def __init__(self, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._names = NameLookup()
        self._entry_bytes = _FIRST_GUESS_BYTES
        self._quiet = QuietReads()
        self._news: dict[bytes, Stream] = {}

    def drain(
        self, context: Context, streams: Sequence[Stream], until: float
    ) -> tuple[list[Stream], list[Stream]]:
        """Fold all news of the streams until that monotonic time; gives those that had any, and
        those with more left.

        First all streams are asked for a few entries each, many in one command; then those that
        had more, a page each in turn, so that a flooding queue does not hold up a quiet one.
        """
        self._news = {}
        more = self._round(context, streams, _QUIET_STREAMS, self._quiet.reads(streams))
        while more and time.monotonic() < until:
            more = self._round(context, more, _BUSY_STREAMS, _xread)
        return list(self._news.values()), more

    def _round(
        self, context: Context, streams: Sequence[Stream], width: int, xread: XRead
    ) -> list[Stream]:
        more: list[Stream] = []
        start = 0
        while start < len(streams):
            page = self._page(len(streams) - start, width)
            some = streams[start : start + page.width * page.groups]
            start += len(some)
            more += self._read(context, some, page, xread)
        return more

    def _page(self, streams: int, width: int) -> _ReadPlan:
        """As much as the size of entries allows, were all of them there."""
        entries = max(1, int(self._page_bytes / self._entry_bytes))
        width = min(width, streams, entries)
        count = max(1, min(_MOST_ENTRIES, entries) // width)
        return _ReadPlan(width, count, max(1, min(_PIPELINED, entries // (width * count))))

    def _read(
        self, context: Context, streams: Sequence[Stream], page: _ReadPlan, xread: XRead
    ) -> list[Stream]:
        groups = [streams[i : i + page.width] for i in range(0, len(streams), page.width)]
        packed = b"".join([xread(group, page.count) for group in groups])
        batch = context.client.batch(packed, len(groups))
        found = self._take(context, groups, batch.replies, page.count)
        self._learn(batch.size, sum(entries for _, entries in found))
        return [stream for stream, entries in found if entries == page.count]

    def _take(
        self,
        context: Context,
        groups: Sequence[Sequence[Stream]],
        replies: Sequence[Reply],
        count: int,
    ) -> list[tuple[Stream, int]]:
        """Folds the replies; the streams with news and their number of entries."""
        news: list[tuple[Stream, Sequence[Entry]]] = []
        for group, reply in zip(groups, replies, strict=True):
            if isinstance(reply, ReplyError):
                news += _one_by_one(context, group, count)
            elif reply is not None:
                by_key = {stream.key: stream for stream in group}
                _check(reply, by_key)
                news += [(by_key[key], entries) for key, entries in reply]
        with _entries_at_fault(news):
            self._names.look_up(context, news)
            for stream, entries in news:
                self._news[stream.key] = stream
                stream.fold.feed(entries)
                stream.position = entries[-1][0]
                stream.read += len(entries)
        return [(stream, len(entries)) for stream, entries in news]

    def _learn(self, size: int, entries: int) -> None:
        """How large entries are, so that the next page stays in its bounds."""
        if entries:
            average = size / entries
            # at once up, step by step down: pages of large entries are what must not happen
            self._entry_bytes = max(average, (self._entry_bytes + average) / 2)


class QuietReads:
    """XREADs of many streams at once, kept for as long as nothing comes."""

    def __init__(self) -> None:
        self._streams: Sequence[Stream] = ()
        self._known: dict[tuple[bytes, int, int], tuple[list[bytes | None], bytes]] = {}
        """Positions and command, by the first stream, their number and COUNT."""

    def reads(self, streams: Sequence[Stream]) -> XRead:
        """What packs the command for some of these streams, which stand together."""
        if streams is not self._streams or len(self._known) > len(streams):
            self._streams, self._known = streams, {}
        return self._xread

    def _xread(self, group: Sequence[Stream], count: int) -> bytes:
        key = (group[0].key, len(group), count)
        positions = [stream.position for stream in group]
        known = self._known.get(key)
        if known is None or known[0] != positions:
            known = self._known[key] = (positions, _xread(group, count))
        return known[1]


def _xread(streams: Sequence[Stream], count: int) -> bytes:
    keys = [stream.key for stream in streams]
    positions = [stream.at for stream in streams]
    return XREAD.on(more=("COUNT", count, "STREAMS", *keys, *positions))


def _one_by_one(
    context: Context, group: Sequence[Stream], count: int
) -> list[tuple[Stream, Sequence[Entry]]]:
    """One key of a wrong type fails the whole command: ask for each alone."""
    batch = context.client.batch(b"".join(_xread([s], count) for s in group), len(group))
    news = []
    for stream, reply in zip(group, batch.replies, strict=True):
        if isinstance(reply, ReplyError):
            if reply.not_available:
                raise reply
            context.errors.add(reply, f"XREAD {stream.key[:200]!r}")
        elif reply is not None:
            _check(reply, (stream.key,))
            news += [(stream, entries) for _, entries in reply]
    return news


def _check(reply: Reply, asked: Container[bytes]) -> None:
    """See that it is XREAD's: streams that were asked for, each with entries."""
    whole = type(reply) is list and all(
        type(found) is list
        and len(found) == 2
        and type(found[0]) is bytes
        and found[0] in asked
        and type(found[1]) is list
        and found[1]
        and is_entry(found[1][-1])
        for found in reply
    )
    if not whole:
        raise unexpected("XREAD")


@contextmanager
def _entries_at_fault(news: Sequence[tuple[Stream, Sequence[Entry]]]) -> Iterator[None]:
    """A failure over entries that are none is Redis' one.

    To look at each of them before would take half as long as to fold them.
    """
    try:
        yield
    except (AttributeError, IndexError, TypeError, ValueError):
        if all(is_entry(entry) for _, entries in news for entry in entries):
            raise
        raise unexpected("XREAD") from None


def is_entry(entry: Reply) -> bool:
    """Whether it is an entry of a stream: its id, and its fields and values in turn."""
    return type(entry) is list and len(entry) == 2 and is_id(entry[0]) and is_string_list(entry[1])


def is_id(entry_id: Reply) -> bool:
    """Whether it is the id of an entry."""
    return type(entry_id) is bytes and _ID.fullmatch(entry_id) is not None


def id_ms(entry_id: bytes) -> int:
    """The time in an entry's id."""
    return int(entry_id.partition(b"-")[0])


def id_order(entry_id: bytes) -> tuple[int, int]:
    """An id as numbers that compare."""
    ms, _, sequence = entry_id.partition(b"-")
    return int(ms), int(sequence)
