"""Positions in event streams: losses before Redis 7, and errors of XINFO."""

from __future__ import annotations

from typing import Any, cast

import pytest

from exporter.bullmq import queue_of
from exporter.collectors import Context
from exporter.collectors.events.aggregator import EventAggregator
from exporter.collectors.events.balance import Totals
from exporter.collectors.events.by_job_name import TotalAggregator
from exporter.collectors.events.ledger import Count
from exporter.collectors.events.positions import count_losses, locate, look_up_ends
from exporter.collectors.events.streams import Stream, StreamEnd
from exporter.connection import Client, ErrorClass, NodeError, Replies
from exporter.state.unfinished_jobs import Audit, Rebase


class FakeXinfoClient:
    """A client that returns this XINFO reply of an old server."""

    def __init__(self, info: dict[bytes, Any]) -> None:
        self._info = info

    def batch(self, _: bytes, __: int, ___: int) -> Replies:
        return Replies([[part for pair in self._info.items() for part in pair]])


@pytest.mark.parametrize(
    ("what", "before", "first", "length", "lost"),
    [
        ("the last entry read still exists", b"5-0", b"5-0", 50, 0),
        ("older entries were trimmed", b"5-0", b"4-0", 50, 0),
        (
            "the last entry read is gone, and more entries than BullMQ keeps followed",
            b"5-0",
            b"7-0",
            50,
            1,
        ),
        (
            "the last entry read is gone because the stream was trimmed by hand",
            b"5-0",
            b"7-0",
            49,
            0,
        ),
        ("nothing was read before", b"0-0", b"7-0", 50, 0),
    ],
)
def test_losses_before_redis_7(
    what: str, before: bytes, first: bytes, length: int, lost: int
) -> None:
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
    found = look_up_ends(Context(cast("Client", FakeXinfoClient(info)), 0.0), [stream])
    assert (aggregator.lost, found) == (lost, [stream] * lost), what


def test_a_recreated_stream_that_has_outgrown_the_old_one() -> None:
    """Of 4 entries that the old one had, none is among the 6 that were read."""
    stream = Stream(
        queue_of("bull", "q"),
        b"bull:q:events",
        TotalAggregator(lambda: EventAggregator((1.0,), (1.0,)), {}),
        position=b"9-0",
        added=4,
        read=6,
        end=StreamEnd(b"9-0", 6, b"6-0", 6),
        drained=True,
    )
    stream.ledger.compare(Count(2, 4, 5, 0), Totals(2), 1.0)
    assert count_losses([stream]) == []
    assert (stream.aggregator.lost, stream.added, stream.read) == (0, 6, 0)
    stream.ledger.compare(Count(1, 6, 9, 0), Totals(3), 2.0)
    assert stream.ledger.audit == Audit(0, rebases={Rebase.OBLITERATE: 1})


class FailingClient:
    """A client that returns an error for every command, like a cluster whose node is down."""

    def batch(self, _: bytes, count: int, __: int) -> Replies:
        error = NodeError(ErrorClass.CONNECTION, "node h:1: refused")
        return Replies([error] * count, tuple(range(count)))


def locate_on_another_server(context: Context, streams: list[Stream]) -> None:
    locate(context, streams, other_server=True)


@pytest.mark.parametrize("ask", [look_up_ends, locate_on_another_server])
@pytest.mark.parametrize("position", [None, b"9-0"])
def test_an_error_keeps_the_position(ask: Any, position: bytes | None) -> None:
    """If the stream counted as deleted, its history would be counted, or counted again."""
    stream = Stream(
        queue_of("bull", "q"),
        b"bull:q:events",
        TotalAggregator(lambda: EventAggregator((1.0,), (1.0,)), {}),
    )
    stream.position, stream.added, stream.read = position, 7, 2
    context = Context(cast("Client", FailingClient()), 0.0)
    ask(context, [stream])
    assert (stream.position, stream.added, stream.read) == (position, 7, 2)
    assert not stream.located
    assert context.errors.failed_nodes == {"node h:1: refused": ErrorClass.CONNECTION}
