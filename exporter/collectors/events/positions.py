"""Where streams begin and end: where to start reading, and how many events were lost by trimming.

XINFO reports, of one moment, the last ID and how many entries were ever added. Once everything up
to that ID was read, those of them that were not read are lost. No quiet moment is needed:

    counted up to 10-0, 40 added so far               added=40, read=0
    read 12 entries, up to 15-0                                 read=12
    XINFO: last-generated-id 20-0, entries-added 70   end=(20-0, 70)
    read 20 entries, 4 of them after 20-0                       read=32, beyond=4
    lost: 70 - 40 - (32 - 4) = 2                      added=70, read=4
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final

from exporter.bullmq import DEFAULT_MAX_EVENTS
from exporter.collectors.contract import Context
from exporter.collectors.events.balance import Totals
from exporter.collectors.events.by_job_name import totals_of
from exporter.collectors.events.counts import Counting
from exporter.collectors.events.streams import (
    FIRST_ID,
    XREAD,
    Stream,
    StreamEnd,
    id_ms,
    id_order,
    is_entry,
    is_id,
)
from exporter.connection import Command, Reply, ReplyError, is_string_list, unexpected
from exporter.state.unfinished_jobs import Rebase

XINFO: Final = Command(
    "XINFO STREAM", reply=list, cost="all bullmq_queue_jobs_*, bullmq_queue_job_*"
)

_LAST_SEQUENCE: Final = (1 << 64) - 1
_NONE: Final[Mapping[bytes, Counting]] = MappingProxyType({})


def locate(context: Context, streams: Sequence[Stream], *, other_server: bool) -> None:
    """Decide where to read each stream from, and mark it as located.

    A new stream is read from its end, so that old events are not counted; from its beginning if its
    first entry was added while the exporter was watching (`Stream.since_ms`).

    A stream with a position is read from there, unless it is another stream, as after a restore:
    then from its end, because its events are neither new nor lost. It is another one if it lacks
    the entry that was read last. If that entry may have been trimmed, `other_server` decides:
    whether the server is known to be another one.
    """
    known = [stream for stream in streams if stream.read_after != FIRST_ID]
    next_entries = _entries_at_positions(context, known)
    for stream, end in _stream_ends(context, streams):
        if end.last == FIRST_ID:
            _start(stream, FIRST_ID, 0, Rebase.OBLITERATE)
            _note_unread(stream, int(time.time() * 1000))
        elif stream.position is None:
            young = end.first is not None and id_order(end.first)[0] > stream.since_ms
            position, added = (FIRST_ID, 0) if young else (end.last, end.added)
            _start(stream, position, added, Rebase.RESTART)
        elif stream.position != FIRST_ID and stream.key not in next_entries:
            continue  # unknown: try again at the next pass
        elif _is_another(stream, end, next_entries.get(stream.key), other_server=other_server):
            _start(stream, end.last, end.added, Rebase.ROLLBACK)
        stream.located, stream.end = True, None


def _is_another(
    stream: Stream, end: StreamEnd, next_entry: bytes | None, *, other_server: bool
) -> bool:
    """Whether this is not the stream of which entries were read; see `locate`."""
    if next_entry is not None and next_entry == stream.position:
        return False
    return other_server or not _is_after(end.first, stream.read_after)


def _start(stream: Stream, position: bytes, added: int | None, reason: Rebase) -> None:
    """Read on after `position`, up to which `added` entries were added."""
    _restart(stream, reason)
    _note_unread(stream, id_ms(position))
    stream.position = stream.previous_position = position
    stream.added, stream.read, stream.end = added, 0, None


def _restart(stream: Stream, reason: Rebase, *, read: bool = False) -> None:
    """Forget the jobs: those of the stream from now on are others, or were changed unseen. With
    `read`, the new events were read already."""
    stream.aggregator.reset()
    totals = None if read else totals_of(stream.aggregator)
    _restart_audit(stream, reason, totals, otherwise=Rebase.STREAM_DELETED)


def _restart_audit(
    stream: Stream,
    reason: Rebase,
    totals: Totals | None = None,
    *,
    otherwise: Rebase = Rebase.LOST_EVENTS,
) -> None:
    """Events are unknown; by default the jobs are the same. See `Ledger.restart`."""
    stream.ledger.restart(reason, totals, time.time(), otherwise=otherwise)
    stream.counted = stream.at_end = None


def look_up_ends(
    context: Context, streams: Sequence[Stream], counted: Container[bytes] = ()
) -> list[Stream]:
    """Look up where the streams end now, and how many jobs there are for those whose keys are in
    `counted`, and detect recreated streams.

    Returns the streams of which events are known to be lost.

    Before Redis 7 the server does not count entries, so the number of lost events is unknown, and
    a loss counts as one. That the last entry read is gone proves none: entries that were read may
    be trimmed by anyone. But BullMQ trims only what exceeds `maxLenEvents`: if the stream is that
    long nevertheless, more entries followed than it keeps.
    """
    lost = []
    audited = [stream for stream in streams if stream.key in counted and stream.all_seen]
    countings = {stream.key: Counting(stream) for stream in audited}
    for stream, end in _stream_ends(context, streams, countings):
        stream.length = end.length
        position = stream.position or FIRST_ID
        if id_order(end.last) < id_order(position):
            # a stream that is gone will be read from its beginning; one that is behind, as after a
            # failover, from its end: its entries were counted
            gone = end.last == FIRST_ID
            reason = Rebase.OBLITERATE if gone else Rebase.ROLLBACK
            _start(stream, end.last, 0 if gone else end.added, reason)
            continue
        gap = _is_after(end.first, stream.previous_position)
        if end.added is None:
            full = end.length >= (stream.max_length or DEFAULT_MAX_EVENTS)
            if gap and full and stream.previous_position != FIRST_ID:
                _add_lost(stream, 1, end)
                lost.append(stream)
            elif gap and stream.previous_position != FIRST_ID:
                # nothing proves that events were lost, but the audit needs all of them: the stream
                # was trimmed by hand, or deleted
                _restart_audit(stream, Rebase.OBLITERATE)
        elif stream.added is not None and end.added < stream.added + stream.read:
            # recreated: all its entries are new; if it has old ones, their number is unknown
            _restart(stream, Rebase.OBLITERATE if gap else Rebase.ROLLBACK, read=True)
            stream.added = 0 if gap else None
        counting = countings.get(stream.key)
        stream.counted = None if counting is None else counting.count(context, end)
        stream.at_end = None
        stream.end, stream.beyond, stream.drained = end, 0, False
    return lost


def count_losses(streams: Iterable[Stream]) -> list[Stream]:
    """Count the events that were trimmed before they were read, of streams read up to their `end`.

    Returns the streams of which events are lost.
    """
    lost = []
    for stream in streams:
        end = stream.end
        if end is None or not (stream.drained or stream.reached_end):
            continue
        if not stream.reached_end:
            stream.position = end.last  # the entries up to there are gone
            if end.added is None:
                _add_lost(stream, 1, end)
                lost.append(stream)
        if _count_missing(stream, end):
            lost.append(stream)
        if stream.counted is not None:
            totals = stream.at_end or totals_of(stream.aggregator)
            stream.ledger.compare(stream.counted, totals, time.time())
        stream.counted = stream.at_end = None
        stream.added, stream.read, stream.end = end.added, stream.beyond, None
    return lost


def _count_missing(stream: Stream, end: StreamEnd) -> bool:
    """Compare how many entries were added with how many were read; returns whether some are lost.

    More read than added means that the stream was recreated, and has outgrown the old one since.
    """
    if end.added is None or stream.added is None:
        return False
    missing = end.added - stream.added - (stream.read - stream.beyond)
    if missing > 0:
        _add_lost(stream, missing, end)
    elif missing < 0:
        _restart(stream, Rebase.OBLITERATE, read=True)
    return missing > 0


def _add_lost(stream: Stream, count: int, end: StreamEnd) -> None:
    stream.aggregator.lost += count
    _restart_audit(stream, Rebase.LOST_EVENTS)
    _note_unread(stream, id_ms(end.last))


def _note_unread(stream: Stream, until_ms: int) -> None:
    """Remember that events up to then may not have been read."""
    stream.aggregator.unread_until_ms = max(stream.aggregator.unread_until_ms, until_ms)


def _is_after(entry_id: bytes | None, other: bytes) -> bool:
    return entry_id is not None and id_order(entry_id) > id_order(other)


def _entries_at_positions(context: Context, streams: Sequence[Stream]) -> dict[bytes, bytes | None]:
    """The ID of the first entry from each position on, by key; None if there is none."""
    if not streams:
        return {}
    packed = b"".join(
        XREAD.on(more=("COUNT", 1, "STREAMS", stream.key, _id_before(stream.read_after)))
        for stream in streams
    )
    replies = context.client.batch(packed, len(streams), XREAD.limit).replies
    found: dict[bytes, bytes | None] = {}
    for stream, reply in zip(streams, replies, strict=True):
        if isinstance(reply, ReplyError):
            if reply.not_available:
                raise reply
            context.errors.add(reply, f"XREAD {stream.key[:200]!r}")
        elif reply is None:
            found[stream.key] = None
        else:
            found[stream.key] = _only_id(reply)
    return found


def _only_id(reply: Reply) -> bytes:
    """The entry ID in a reply to XREAD of one stream with COUNT 1. Raises `RedisFailure`."""
    if type(reply) is list and len(reply) == 1 and type(reply[0]) is list and len(reply[0]) == 2:
        entries = reply[0][1]
        if type(entries) is list and len(entries) == 1 and is_entry(entries[0]):
            entry_id: bytes = entries[0][0]
            return entry_id
    raise unexpected("XREAD")


def _id_before(entry_id: bytes) -> bytes:
    """The ID right before: XREAD after it starts with that entry."""
    ms, sequence = id_order(entry_id)
    return b"%d-%d" % ((ms, sequence - 1) if sequence else (ms - 1, _LAST_SEQUENCE))


def _stream_ends(
    context: Context, streams: Sequence[Stream], countings: Mapping[bytes, Counting] = _NONE
) -> Iterable[tuple[Stream, StreamEnd]]:
    """Where each stream ends; streams whose state is unknown are omitted.

    The commands of `countings`, by the stream's key, are sent before, and get their replies.
    """
    if not streams:
        return
    replies = _ask_ends(context, streams, countings)
    for stream in streams:
        counting = countings.get(stream.key)
        if counting is not None:
            counting.replies = list(islice(replies, counting.width))
        reply = next(replies)
        if isinstance(reply, ReplyError):
            if reply.not_available:
                raise reply
            # "ERR no such key": the stream does not exist (any more); after any other error,
            # its state is unknown
            if "no such key" in reply.text:
                yield stream, StreamEnd(FIRST_ID, 0, None)
            else:
                context.errors.add(reply, f"XINFO {stream.key[:200]!r}")
        else:
            yield stream, _end(reply)


def _ask_ends(
    context: Context, streams: Sequence[Stream], countings: Mapping[bytes, Counting]
) -> Iterator[Reply]:
    """The replies to the counts and to XINFO of each stream."""
    packed: list[bytes] = []
    count, limit = len(streams), len(streams) * XINFO.limit
    for stream in streams:
        counting = countings.get(stream.key)
        if counting is not None:
            packed.append(counting.packed)
            count += counting.width
            limit += counting.limit
        packed.append(XINFO.on(stream.key))
    return iter(context.client.batch(b"".join(packed), count, limit).replies)


def _end(reply: Reply) -> StreamEnd:
    if type(reply) is not list or not is_string_list(reply[::2]):
        raise unexpected("XINFO")
    info = dict(zip(reply[::2], reply[1::2], strict=False))
    last, added = info.get(b"last-generated-id", FIRST_ID), info.get(b"entries-added")
    first, length = info.get(b"first-entry"), info.get(b"length")
    if not is_id(last) or not (first is None or is_entry(first)):
        raise unexpected("XINFO")
    return StreamEnd(
        last,
        added if type(added) is int else None,
        first[0] if first is not None else None,
        length if type(length) is int else 0,
    )
