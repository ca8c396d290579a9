"""The collector: reads the event streams of all queues."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context, Scope
from exporter.collectors.events.aggregator import EventAggregator
from exporter.collectors.events.by_job_name import (
    JobNameAggregator,
    StreamAggregator,
    TotalAggregator,
)
from exporter.collectors.events.positions import count_losses, look_up_positions
from exporter.collectors.events.streams import FIRST_ID, Stream, StreamReader, id_ms
from exporter.config.models import Events
from exporter.connection import Command, is_field_list
from exporter.state.snapshots import EventFacts, QueueEvents

MAX_LEN: Final = Command("HMGET", "meta", ("opts.maxLenEvents",), list, "queue settings")

_BUDGET_SHARE: Final = 0.5
"""Fraction of the poll interval that a pass may take."""
_CHECK_SECONDS: Final = 60.0
"""How often a queue is checked: does it keep events, and was its stream recreated or trimmed?"""


class EventsCollector:
    """Reads the new events of every watched queue."""

    name = "events"
    scope = Scope.DATABASE

    def __init__(self, options: Events, poll_interval: float) -> None:
        self._options = options
        self._budget = poll_interval * _BUDGET_SHARE
        self._shares = max(1, round(_CHECK_SECONDS / poll_interval))
        self._share = 0
        """The share of the streams that is checked at this poll, of `_shares`."""
        self._create_aggregator = partial(
            EventAggregator, options.wait_buckets, options.run_buckets
        )
        self._empty = {"": self._create_aggregator().frozen()}
        self._reader = StreamReader(options.page_bytes)
        self._queues: tuple[Queue, ...] = ()
        self._streams: dict[Queue, Stream] = {}
        self._all: list[Stream] = []
        self._new: list[Stream] = []
        """Streams whose end is not known yet."""
        self._followed: list[Stream] = []
        self._frozen: dict[Queue, QueueEvents] = {}
        self._changed = True
        """Whether `_frozen` has changed since it was copied to `_shown`."""
        self._shown: Mapping[Queue, QueueEvents] = {}
        self._inflight: dict[Queue, int] = {}
        """Jobs in flight when each queue last had new events; a reset stream has fewer now."""
        self._dropped = 0
        self._reading_since = 0.0

    def collect(self, context: Context) -> EventFacts:
        """Counters and durations of every queue that keeps events. Raises `RedisFailure`."""
        if context.reading_since != self._reading_since:
            self._reading_since = context.reading_since
            self._forget_positions()
        if context.queues is not self._queues:
            self._set_queues(context.queues)
        self._share = (self._share + 1) % self._shares
        self._check(context)
        until = time.monotonic() + self._budget
        updated, behind = self._reader.drain(context, self._followed, until)
        self._finish_pass(context, updated, behind)
        self._bound_memory(updated)
        for stream in updated:
            self._freeze(stream)
        if self._changed:
            self._shown, self._changed = dict(self._frozen), False
        return EventFacts(self._shown, _lag(context, behind), self._dropped)

    def _forget_positions(self) -> None:
        """Continue at the end of each stream: another connection has counted what came before."""
        for stream in self._all:
            stream.aggregator.reset()
            stream.position = None
        self._new = list(self._all)
        self._follow()

    def _set_queues(self, queues: tuple[Queue, ...]) -> None:
        """Keep the state of queues that remain; discard that of the others."""
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
        """Follow the streams that are enabled and whose end is known."""
        self._followed = [s for s in self._all if s.enabled and s.position is not None]

    def _stream(self, queue: Queue) -> Stream:
        options = self._options
        bounds = (options.wait_buckets, options.run_buckets)
        aggregator: StreamAggregator = TotalAggregator(self._create_aggregator, self._empty)
        if options.job_names:
            aggregator = JobNameAggregator(*bounds, options.max_job_names)
        return Stream(queue, queue.key + b"events", aggregator)

    def _check(self, context: Context) -> None:
        """Check new streams, and a share of the others."""
        new = self._new
        share = self._all[self._share :: self._shares]
        known = [stream for stream in share if stream.position is not None]
        enabled_before = [stream.enabled for stream in known]
        self._check_enabled(context, [*new, *known])
        look_up_positions(context, new)
        count_losses(context, [stream for stream in known if stream.enabled])
        for stream in new:
            stream.previous_position = stream.read_after
            unknown = stream.position == FIRST_ID and not stream.has_max_length
            if stream.enabled and stream.position is not None and not unknown:
                self._freeze(stream)
        if new or enabled_before != [stream.enabled for stream in known]:
            self._new = [stream for stream in new if stream.position is None]
            self._follow()

    def _freeze(self, stream: Stream) -> None:
        self._frozen[stream.queue] = stream.aggregator.frozen()
        self._changed = True

    def _check_enabled(self, context: Context, streams: Sequence[Stream]) -> None:
        if not streams:
            return
        packed = b"".join(MAX_LEN.on(stream.queue.key) for stream in streams)
        replies = context.client.batch(packed, len(streams)).replies
        for stream, reply in zip(streams, replies, strict=True):
            if is_field_list(reply, 1):
                stream.enabled = reply[0] != b"0"
                stream.has_max_length = reply[0] is not None
            if not stream.enabled and self._frozen.pop(stream.queue, None) is not None:
                self._changed = True

    def _finish_pass(
        self, context: Context, updated: Sequence[Stream], behind: Sequence[Stream]
    ) -> None:
        """Count losses of the streams that were read to their end."""
        unfinished = {stream.key for stream in behind}
        finished = [stream for stream in updated if stream.key not in unfinished]
        for stream in finished:
            stream.aggregator.end_of_stream()
        count_losses(context, finished)
        for stream in updated:
            stream.previous_position = stream.read_after

    def _bound_memory(self, updated: Sequence[Stream]) -> None:
        """Forget the oldest jobs in flight beyond `max_inflight`, over all queues."""
        self._inflight |= {stream.queue: stream.aggregator.inflight for stream in updated}
        if sum(self._inflight.values()) <= self._options.max_inflight:
            return
        aggregators = [self._streams[queue].aggregator for queue in self._inflight]
        excess = sum(each.inflight for each in aggregators) - self._options.max_inflight
        if excess <= 0:
            return
        oldest = [(each.oldest_ms, i, each) for i, each in enumerate(aggregators) if each.inflight]
        heapq.heapify(oldest)
        for _ in range(excess):
            _, i, each = oldest[0]
            each.forget_oldest()
            if each.inflight:
                heapq.heapreplace(oldest, (each.oldest_ms, i, each))
            else:
                heapq.heappop(oldest)
        self._dropped += excess
        self._inflight = {q: self._streams[q].aggregator.inflight for q in self._inflight}


def _lag(context: Context, behind: Sequence[Stream]) -> float:
    """Age of the oldest unread event in seconds, approximated by that of the last event read."""
    positions = [id_ms(stream.position) for stream in behind if stream.position is not None]
    if not positions:
        return 0.0
    return max(0.0, (context.server_time_ms() - min(positions)) / 1000)
