"""The collector: follows the streams of all queues, and freezes what changed."""

from __future__ import annotations

import gc
import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context, Scope
from exporter.collectors.events.ends import account, look_up_ends
from exporter.collectors.events.fold import Fold
from exporter.collectors.events.named import NamedFold, PlainFold, StreamFold
from exporter.collectors.events.streams import FIRST_ID, Reader, Stream, id_ms
from exporter.config import Events
from exporter.connection import pack
from exporter.snapshot import EventFacts, QueueEvents

_BUDGET_SHARE: Final = 0.5
"""Share of the poll interval that a pass may take."""
_LOOK_AGAIN_SECONDS: Final = 60.0
"""How often it is asked whether a queue keeps events at all, and whether its stream was reset."""


class EventsCollector:
    """Reads the news of every watched queue's stream."""

    name = "events"
    scope = Scope.DATABASE

    def __init__(self, options: Events, poll_interval: float) -> None:
        self._options = options
        self._budget = poll_interval * _BUDGET_SHARE
        self._turns = max(1, round(_LOOK_AGAIN_SECONDS / poll_interval))
        self._turn = 0
        self._reader = Reader(options.page_bytes)
        self._queues: tuple[Queue, ...] = ()
        self._streams: dict[Queue, Stream] = {}
        self._frozen: dict[Queue, QueueEvents] = {}
        self._dropped = 0

    def collect(self, context: Context) -> EventFacts:
        """Counters and durations of every queue that keeps events."""
        if context.queues is not self._queues:
            self._plan(context.queues)
        self._turn = (self._turn + 1) % self._turns
        self._look(context)
        streams = [s for s in self._streams.values() if s.enabled and s.position is not None]
        for stream in streams:
            stream.before = stream.position or FIRST_ID
        with _without_cycle_collector():
            behind = self._reader.drain(context, streams, time.monotonic() + self._budget)
        news = [stream for stream in streams if stream.position != stream.before]
        self._close_accounts(context, news, behind)
        self._bound_memory()
        for stream in news:
            self._frozen[stream.queue] = stream.fold.frozen()
        return EventFacts(dict(self._frozen), _lag(context, behind), self._dropped)

    def _plan(self, queues: tuple[Queue, ...]) -> None:
        """Keep what is known of queues that stay; forget those that are gone."""
        self._queues = queues
        self._streams = {queue: self._streams.get(queue) or self._stream(queue) for queue in queues}
        self._frozen = {
            queue: events for queue, events in self._frozen.items() if queue in self._streams
        }

    def _stream(self, queue: Queue) -> Stream:
        options = self._options
        bounds = (options.wait_buckets, options.run_buckets)
        fold: StreamFold = PlainFold(Fold(*bounds))
        if options.job_names:
            fold = NamedFold(*bounds, options.max_job_names)
        return Stream(queue, queue.key + b"events", fold)

    def _look(self, context: Context) -> None:
        """At streams that are new, and at a share of the others."""
        new = [stream for stream in self._streams.values() if stream.position is None]
        known = [
            stream
            for place, stream in enumerate(self._streams.values())
            if place % self._turns == self._turn and stream.position is not None
        ]
        self._look_whether_enabled(context, [*new, *known])
        look_up_ends(context, new)
        account(context, [stream for stream in known if stream.enabled])
        for stream in new:
            never_told = stream.position == FIRST_ID and not stream.announced
            if stream.enabled and stream.position is not None and not never_told:
                self._frozen[stream.queue] = stream.fold.frozen()

    def _look_whether_enabled(self, context: Context, streams: Sequence[Stream]) -> None:
        if not streams:
            return
        packed = b"".join(
            pack("HMGET", stream.queue.key + b"meta", "opts.maxLenEvents") for stream in streams
        )
        replies = context.client.batch(packed, len(streams)).replies
        for stream, reply in zip(streams, replies, strict=True):
            if isinstance(reply, list):
                stream.enabled = reply[0] != b"0"
                stream.announced = reply[0] is not None
            if not stream.enabled:
                self._frozen.pop(stream.queue, None)

    def _close_accounts(
        self, context: Context, news: Sequence[Stream], behind: Sequence[Stream]
    ) -> None:
        late = {stream.key for stream in behind}
        ended = [stream for stream in news if stream.key not in late]
        for stream in ended:
            stream.fold.settle()
        account(context, ended)

    def _bound_memory(self) -> None:
        """Forget the jobs that have been remembered for longest, over all queues."""
        folds = [stream.fold for stream in self._streams.values() if stream.fold.inflight]
        excess = sum(fold.inflight for fold in folds) - self._options.max_inflight
        if excess <= 0:
            return
        oldest = [(fold.oldest_ms, place, fold) for place, fold in enumerate(folds)]
        heapq.heapify(oldest)
        for _ in range(excess):
            _, place, fold = oldest[0]
            fold.forget_oldest()
            if fold.inflight:
                heapq.heapreplace(oldest, (fold.oldest_ms, place, fold))
            else:
                heapq.heappop(oldest)
        self._dropped += excess


def _lag(context: Context, behind: Sequence[Stream]) -> float:
    """Age of the oldest event not yet read: at least that of the last one that was."""
    positions = [id_ms(stream.position) for stream in behind if stream.position is not None]
    if not positions:
        return 0.0
    return max(0.0, (context.server_time_ms() - min(positions)) / 1000)


@contextmanager
def _without_cycle_collector() -> Iterator[None]:
    """Replies are deep trees without cycles; looking for some costs a fifth to a half of a pass."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
