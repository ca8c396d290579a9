"""Where streams end: finds the end of a new stream, and counts events lost by trimming."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from exporter.collectors.contract import Context
from exporter.collectors.events.streams import FIRST_ID, Stream, id_order, is_entry, is_id
from exporter.connection import Command, Reply, ReplyError, is_string_list, unexpected

XINFO: Final = Command("XINFO STREAM", reply=list, cost="all bullmq_jobs_*, bullmq_job_*")


def look_up_positions(context: Context, streams: Sequence[Stream]) -> None:
    """Set the position of new streams to their end, so that old events are not counted.

    A stream that does not exist yet will be read from its beginning.
    """
    for stream, info in _stream_infos(context, streams):
        stream.position = info.get(b"last-generated-id", FIRST_ID)
        stream.added, stream.read = _number(info.get(b"entries-added")), 0


def count_losses(context: Context, streams: Sequence[Stream]) -> None:
    """Count events that were trimmed before they were read, and detect recreated streams.

    Exact if the server counts `entries-added` (Redis 7, Valkey) and all entries have been read.
    Before Redis 7 it is only visible that events are missing, because the last entry read is gone;
    this counts as one lost event.
    """
    for stream, info in _stream_infos(context, streams):
        last, added = info.get(b"last-generated-id", FIRST_ID), _number(info.get(b"entries-added"))
        position = stream.position or FIRST_ID
        behind = id_order(last) < id_order(position)
        if behind or _shrank(added, stream.added):
            stream.aggregator.reset()
            # entries added since the last read follow with the next read
            stream.position = last if behind else position
            stream.added, stream.read = added, 0
        elif last != position:
            continue  # new entries arrived in between: count at the next pass
        elif added is not None and stream.added is not None:
            stream.aggregator.lost += max(0, added - stream.added - stream.read)
            stream.added, stream.read = added, 0
        else:
            stream.aggregator.lost += added is None and _trimmed_unread(
                info, stream.previous_position
            )
            stream.added, stream.read = added, 0


def _trimmed_unread(info: Mapping[bytes, Reply], last_read: bytes) -> bool:
    """Whether the last entry read is gone, and with it perhaps later ones."""
    first = info.get(b"first-entry")
    return first is not None and last_read != FIRST_ID and id_order(first[0]) > id_order(last_read)


def _shrank(now: int | None, before: int | None) -> bool:
    return now is not None and before is not None and now < before


def _stream_infos(
    context: Context, streams: Sequence[Stream]
) -> Iterable[tuple[Stream, dict[bytes, Reply]]]:
    if not streams:
        return
    packed = b"".join(XINFO.on(stream.key) for stream in streams)
    replies = context.client.batch(packed, len(streams), len(streams) * XINFO.limit).replies
    for stream, reply in zip(streams, replies, strict=True):
        if isinstance(reply, ReplyError):
            if reply.not_available:
                raise reply
            # "ERR no such key": the stream does not exist (any more); after any other error,
            # its state is unknown
            if "no such key" in reply.text:
                yield stream, {}
            else:
                context.errors.add(reply, f"XINFO {stream.key[:200]!r}")
        else:
            yield stream, _info(reply)


def _info(reply: Reply) -> dict[bytes, Reply]:
    if type(reply) is not list or not is_string_list(reply[::2]):
        raise unexpected("XINFO")
    info = dict(zip(reply[::2], reply[1::2], strict=False))
    first = info.get(b"first-entry")
    if not is_id(info.get(b"last-generated-id", FIRST_ID)) or not (
        first is None or is_entry(first)
    ):
        raise unexpected("XINFO")
    return info


def _number(value: Reply) -> int | None:
    return value if type(value) is int else None
