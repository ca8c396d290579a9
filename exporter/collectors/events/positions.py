"""Where streams end: the first look at one, and the count_losses of what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from exporter.collectors.contract import Context
from exporter.collectors.events.streams import FIRST_ID, Stream, id_order, is_entry, is_id
from exporter.connection import Command, Reply, ReplyError, is_string_list, unexpected

XINFO: Final = Command("XINFO STREAM", reply=list, cost="all bullmq_jobs_*, bullmq_job_*")


def look_up_positions(context: Context, streams: Sequence[Stream]) -> None:
    """Set the position of streams that are new to their end, or history would count as news.

    A stream that does not exist yet is read from its beginning once it does.
    """
    for stream, info in _asked(context, streams):
        stream.position = info.get(b"last-generated-id", FIRST_ID)
        stream.added, stream.read = _number(info.get(b"entries-added")), 0


def count_losses(context: Context, streams: Sequence[Stream]) -> None:
    """Count what was trimmed from streams before it was read, and notice streams made anew.

    Exact where the server counts `entries-added` (Redis 7, Valkey), at moments at which all that
    there is has been read. Before Redis 7 it can only be seen that something is missing: the last
    entry that was read is gone. It counts as one.
    """
    for stream, info in _asked(context, streams):
        last, added = info.get(b"last-generated-id", FIRST_ID), _number(info.get(b"entries-added"))
        position = stream.position or FIRST_ID
        behind = id_order(last) < id_order(position)
        if behind or _shrank(added, stream.added):
            stream.fold.reset()
            # what came since it was read comes with the next read
            stream.position = last if behind else position
            stream.added, stream.read = added, 0
        elif last != position:
            continue  # news came in between: next time
        elif added is not None and stream.added is not None:
            stream.fold.lost += max(0, added - stream.added - stream.read)
            stream.added, stream.read = added, 0
        else:
            stream.fold.lost += added is None and _trimmed_unread(info, stream.before)
            stream.added, stream.read = added, 0


def _trimmed_unread(info: Mapping[bytes, Reply], before: bytes) -> bool:
    """Whether what was read last is gone, and so perhaps what came after it."""
    first = info.get(b"first-entry")
    return first is not None and before != FIRST_ID and id_order(first[0]) > id_order(before)


def _shrank(now: int | None, before: int | None) -> bool:
    return now is not None and before is not None and now < before


def _asked(
    context: Context, streams: Sequence[Stream]
) -> Iterable[tuple[Stream, dict[bytes, Reply]]]:
    if not streams:
        return
    packed = b"".join(XINFO.on(stream.key) for stream in streams)
    replies = context.client.batch(packed, len(streams)).replies
    for stream, reply in zip(streams, replies, strict=True):
        if isinstance(reply, ReplyError):
            if reply.not_available:
                raise reply
            # "ERR no such key": there is no stream yet, or none any more; after any other error it
            # is as it was
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
