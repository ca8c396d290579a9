"""The collector: follows the streams of all queues, and freezes what changed."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context, Scope
from exporter.collectors.events.by_job_name import NamedFold, PlainFold, StreamFold
from exporter.collectors.events.fold import Fold
from exporter.collectors.events.positions import count_losses, look_up_positions
from exporter.collectors.events.streams import FIRST_ID, Reader, Stream, id_ms
from exporter.config.models import Events
from exporter.connection import Command, is_field_list
from exporter.state.snapshots import EventFacts, QueueEvents

MAX_LEN: Final = Command("HMGET", "meta", ("opts.maxLenEvents",), list, "queue settings")

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
        self._make_fold = partial(Fold, options.wait_buckets, options.run_buckets)
        self._nothing = {"": self._make_fold().frozen()}
        self._reader = Reader(options.page_bytes)
        self._queues: tuple[Queue, ...] = ()
        self._streams: dict[Queue, Stream] = {}
        self._all: list[Stream] = []
        self._new: list[Stream] = []
        """Those whose end is not known yet."""
        self._followed: list[Stream] = []
        self._frozen: dict[Queue, QueueEvents] = {}
        self._changed = True
        """Since `_shown` was made of `_frozen`."""
        self._shown: Mapping[Queue, QueueEvents] = {}
        self._inflight: dict[Queue, int] = {}
        """Jobs in flight when there were news last; a stream that was reset since has fewer."""
        self._dropped = 0

    def collect(self, context: Context) -> EventFacts:
        """Counters and durations of every queue that keeps events."""
        if context.queues is not self._queues:
            self._plan(context.queues)
        self._turn = (self._turn + 1) % self._turns
        self._look(context)
        until = time.monotonic() + self._budget
        news, behind = self._reader.drain(context, self._followed, until)
        self._close_accounts(context, news, behind)
        self._bound_memory(news)
        for stream in news:
            self._freeze(stream)
        if self._changed:
            self._shown, self._changed = dict(self._frozen), False
        return EventFacts(self._shown, _lag(context, behind), self._dropped)

    def _plan(self, queues: tuple[Queue, ...]) -> None:
        """Keep what is known of queues that stay; forget those that are gone."""
        self._queues = queues
        self._streams = {queue: self._streams.get(queue) or self._stream(queue) for queue in queues}
        self._inflight = {q: jobs for q, jobs in self._inflight.items() if q in self._streams}
        self._frozen = {
            queue: events for queue, events in self._frozen.items() if queue in self._streams
        }
        self._changed = True
        self._all = list(self._streams.values())
        self._new = [stream for stream in self._all if stream.position is None]
        self._follow()

    def _follow(self) -> None:
        """Follow the streams that are kept at all and whose end is known."""
        self._followed = [s for s in self._all if s.enabled and s.position is not None]

    def _stream(self, queue: Queue) -> Stream:
        options = self._options
        bounds = (options.wait_buckets, options.run_buckets)
        fold: StreamFold = PlainFold(self._make_fold, self._nothing)
        if options.job_names:
            fold = NamedFold(*bounds, options.max_job_names)
        return Stream(queue, queue.key + b"events", fold)

    def _look(self, context: Context) -> None:
        """At streams that are new, and at a share of the others."""
        new = self._new
        some = self._all[self._turn :: self._turns]
        known = [stream for stream in some if stream.position is not None]
        flags = [stream.enabled for stream in known]
        self._look_whether_enabled(context, [*new, *known])
        look_up_positions(context, new)
        count_losses(context, [stream for stream in known if stream.enabled])
        for stream in new:
            stream.before = stream.at
            never_told = stream.position == FIRST_ID and not stream.announced
            if stream.enabled and stream.position is not None and not never_told:
                self._freeze(stream)
        if new or flags != [stream.enabled for stream in known]:
            self._new = [stream for stream in new if stream.position is None]
            self._follow()

    def _freeze(self, stream: Stream) -> None:
        self._frozen[stream.queue] = stream.fold.frozen()
        self._changed = True

    def _look_whether_enabled(self, context: Context, streams: Sequence[Stream]) -> None:
        if not streams:
            return
        packed = b"".join(MAX_LEN.on(stream.queue.key) for stream in streams)
        replies = context.client.batch(packed, len(streams)).replies
        for stream, reply in zip(streams, replies, strict=True):
            if is_field_list(reply, 1):
                stream.enabled = reply[0] != b"0"
                stream.announced = reply[0] is not None
            if not stream.enabled and self._frozen.pop(stream.queue, None) is not None:
                self._changed = True

    def _close_accounts(
        self, context: Context, news: Sequence[Stream], behind: Sequence[Stream]
    ) -> None:
        late = {stream.key for stream in behind}
        ended = [stream for stream in news if stream.key not in late]
        for stream in ended:
            stream.fold.settle()
        count_losses(context, ended)
        for stream in news:
            stream.before = stream.at

    def _bound_memory(self, news: Sequence[Stream]) -> None:
        """Forget the jobs that have been remembered for longest, over all queues."""
        self._inflight |= {stream.queue: stream.fold.inflight for stream in news}
        if sum(self._inflight.values()) <= self._options.max_inflight:
            return
        folds = [fold for q in self._inflight if (fold := self._streams[q].fold).inflight]
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
        self._inflight = {q: self._streams[q].fold.inflight for q in self._inflight}


def _lag(context: Context, behind: Sequence[Stream]) -> float:
    """Age of the oldest event not yet read: at least that of the last one that was."""
    positions = [id_ms(stream.position) for stream in behind if stream.position is not None]
    if not positions:
        return 0.0
    return max(0.0, (context.server_time_ms() - min(positions)) / 1000)
