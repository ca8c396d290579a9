"""Where streams end: before Redis 7, and where Redis answers with an error."""

from __future__ import annotations

from typing import Any, cast

import pytest

from exporter.bullmq import queue_of
from exporter.collectors import Context
from exporter.collectors.events.aggregator import EventAggregator
from exporter.collectors.events.by_job_name import TotalAggregator
from exporter.collectors.events.positions import locate, look_up_ends
from exporter.collectors.events.streams import Stream
from exporter.connection import Client, ErrorClass, NodeError, Replies


class Fed:
    """A client that is fed one answer of XINFO, as a server of that age gives it."""

    def __init__(self, info: dict[bytes, Any]) -> None:
        self._info = info

    def batch(self, _: bytes, __: int, ___: int) -> Replies:
        return Replies([[part for pair in self._info.items() for part in pair]])


@pytest.mark.parametrize(
    ("what", "before", "first", "length", "lost"),
    [
        ("what was read last is still there", b"5-0", b"5-0", 50, 0),
        ("older entries were trimmed", b"5-0", b"4-0", 50, 0),
        ("what was read last is gone, and more than BullMQ keeps followed", b"5-0", b"7-0", 50, 1),
        ("what was read last is gone, as somebody trimmed it", b"5-0", b"7-0", 49, 0),
        ("nothing had been read", b"0-0", b"7-0", 50, 0),
    ],
)
def test_before_redis_7(what: str, before: bytes, first: bytes, length: int, lost: int) -> None:
    aggregator = TotalAggregator(lambda: EventAggregator((1.0,), (1.0,)), {})
    stream = Stream(
        queue_of("bull", "q"),
        b"bull:q:events",
        aggregator,
        position=b"9-0",
        previous_position=before,
        max_length=50,
    )
    info = {
        b"length": length,
        b"last-generated-id": b"9-0",
        b"first-entry": [first, [b"event", b"x"]],
    }
    found = look_up_ends(Context(cast("Client", Fed(info)), 0.0), [stream])
    assert (aggregator.lost, found) == (lost, [stream] * lost), what


class Refusing:
    """A client whose every command is answered with an error, as by a cluster without a node."""

    def batch(self, _: bytes, count: int, __: int) -> Replies:
        error = NodeError(ErrorClass.CONNECTION, "node h:1: refused")
        return Replies([error] * count, tuple(range(count)))


def locate_on_another_server(context: Context, streams: list[Stream]) -> None:
    locate(context, streams, other_server=True)


@pytest.mark.parametrize("ask", [look_up_ends, locate_on_another_server])
@pytest.mark.parametrize("position", [None, b"9-0"])
def test_an_error_changes_nothing(ask: Any, position: bytes | None) -> None:
    """Taken for a stream that is gone, history would be counted, or counted again."""
    stream = Stream(
        queue_of("bull", "q"),
        b"bull:q:events",
        TotalAggregator(lambda: EventAggregator((1.0,), (1.0,)), {}),
    )
    stream.position, stream.added, stream.read = position, 7, 2
    context = Context(cast("Client", Refusing()), 0.0)
    ask(context, [stream])
    assert (stream.position, stream.added, stream.read) == (position, 7, 2)
    assert not stream.located
    assert context.errors.failed_nodes == {"node h:1: refused": ErrorClass.CONNECTION}
