"""The collector: reads the event streams of all queues."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Final

from exporter.bullmq import DEFAULT_MAX_EVENTS, Queue, may_have_markers
from exporter.collectors.contract import CommandErrors, Context, Scope
from exporter.collectors.events.aggregator import EventAggregator
from exporter.collectors.events.audit import Auditor, look_at
from exporter.collectors.events.balance import Balance
from exporter.collectors.events.by_job_name import (
    JobNameAggregator,
    StreamAggregator,
    TotalAggregator,
)
from exporter.collectors.events.positions import count_losses, locate, look_up_ends
from exporter.collectors.events.slo_time import SloTime
from exporter.collectors.events.slos import QueueSlos
from exporter.collectors.events.streams import FIRST_ID, Limit, Stream, StreamReader, id_ms
from exporter.config.models import Events, Slo
from exporter.connection import Command, Metadata, is_field_list
from exporter.parsing import MAX_LABEL_BYTES, OTHER, is_digits
from exporter.state.event_suspects import EventSuspects, Redeliveries
from exporter.state.failures import FailureClasses
from exporter.state.snapshots import EventFacts, QueueEvents

MAX_LEN: Final = Command("HMGET", "meta", ("opts.maxLenEvents", "version"), list, "queue settings")

_BUDGET_SHARE: Final = 0.5
"""Fraction of the poll interval that a pass may take."""
_EVENTS_PER_SECOND: Final = 20_000
"""Events that a pass may read, for each second of the poll interval; the rest is read by the next
ones. An event costs up to 20 us."""
_MAX_DEPARTED: Final = 1000
"""Number of queues that are remembered after they are gone."""
_CHECK_SECONDS: Final = 60.0
"""How often a queue is checked: does it keep events, and was its stream recreated or trimmed?"""
_TURNS_WHILE_SAME: Final = 10
"""If nothing seems to have happened to the stream, the latter is checked this many times less."""


class EventsCollector:
    """Reads the new events of every watched queue."""

    name = "events"
    scope = Scope.DATABASE

    def __init__(
        self,
        options: Events,
        poll_interval: float,
        slos_of: Callable[[str], Sequence[Slo]] = lambda _: (),
        stale_after: float = inf,
    ) -> None:
        """`slos_of` returns the SLOs of a queue by its name; time between polls that are more than
        `stale_after` apart is unknown."""
        self._options = options
        self._slos_of = slos_of
        self._slo_time = SloTime(stale_after)
        self._budget = poll_interval * _BUDGET_SHARE
        self._max_events = max(1, int(poll_interval * _EVENTS_PER_SECOND))
        self._shares = max(1, round(_CHECK_SECONDS / poll_interval))
        self._passes = 0
        self._bounds = (
            options.classic_buckets(options.wait_buckets),
            options.classic_buckets(options.run_buckets),
        )
        self._native = options.native_buckets
        self._empty = {"": EventAggregator(*self._bounds, native=self._native).frozen()}
        self._redeliveries = Redeliveries()
        self._suspects: dict[Queue, EventSuspects] = {}
        """Of the queues that had suspicious events."""
        self._reader = StreamReader(options.page_bytes)
        self._queues: tuple[Queue, ...] = ()
        self._streams: dict[Queue, Stream] = {}
        self._all: list[Stream] = []
        self._new: list[Stream] = []
        """Streams of which it is not known where to read on."""
        self._followed: list[Stream] = []
        self._frozen: dict[Queue, QueueEvents] = {}
        self._changed = True
        """Whether `_frozen` has changed since it was copied to `_shown`."""
        self._shown: Mapping[Queue, QueueEvents] = {}
        self._inflight: dict[Queue, int] = {}
        """Jobs in flight when each queue last had new events; a reset stream has fewer now."""
        self._dropped = 0
        self._reading_since: float | None = None
        self._since_ms = 0.0
        """Unix ms by the server's clock since when the streams of this server are followed."""
        self._departed: dict[Queue, int] = {}
        """Unix ms of the last event read of queues that are gone."""
        self._server: Metadata | None = None
        """The server that the streams were last read from."""
        self._other_server = False
        """Whether `_new` has streams of a server that is known to be another one than before."""
        self._pass_changed: set[bytes] = set()
        """See `EventTimes.changed`."""
        self._auditor = Auditor()
        self._all_known = False
        """Whether the queues of the last pass were all that existed then."""

    def collect(self, context: Context) -> EventFacts:
        """Counters and durations of every queue that keeps events. Raises `RedisFailure`."""
        context.event_times.begin_pass()
        self._pass_changed = set()
        self._check_continuity(context)
        if context.queues is not self._queues:
            self._set_queues(context.queues)
        self._all_known = context.all_queues
        self._passes += 1
        self._check(context)
        self._read(context)
        behind = self._finish_pass(context)
        context.event_times.suspects = self._suspects
        context.event_times.end_pass(self._streams, self._pass_changed)
        if self._changed:
            self._shown, self._changed = dict(self._frozen), False
        slos = self._slo_time.advance(context, behind)
        return EventFacts(self._shown, _lag(context, behind), self._dropped, slos)

    def _check_continuity(self, context: Context) -> None:
        """Locate the streams again if another connection has read them, or on another server."""
        server, known = context.client.metadata, self._server
        if context.reading_since != self._reading_since:
            self._since_ms = _server_time_ms(context)
            self._reading_since = context.reading_since
            self._slo_time.forget()
            # continue at the end: another connection has counted what came before
            for stream in self._all:
                stream.aggregator.reset()
                stream.position = None
            self._locate_again()
        elif server is not None and known is not None and _may_differ(server, known):
            self._since_ms = _server_time_ms(context)
            self._other_server = self._other_server or bool(server.run_id and known.run_id)
            self._locate_again()
        self._server = server

    def _locate_again(self) -> None:
        for stream in self._all:
            stream.located, stream.since_ms = False, float("inf")
        self._pass_changed.update(stream.queue.key for stream in self._all)
        self._new = [stream for stream in self._all if not stream.located]
        self._follow()

    def _set_queues(self, queues: tuple[Queue, ...]) -> None:
        """Keep the state of queues that remain; discard that of the others."""
        self._queues = queues
        before = self._streams
        self._streams = {queue: before.get(queue) or self._stream(queue) for queue in queues}
        self._note_departed(
            stream for queue, stream in before.items() if queue not in self._streams
        )
        self._inflight = {q: jobs for q, jobs in self._inflight.items() if q in self._streams}
        self._frozen = {
            queue: events for queue, events in self._frozen.items() if queue in self._streams
        }
        self._changed = True
        self._suspects = {q: each for q, each in self._suspects.items() if q in self._streams}
        self._all = list(self._streams.values())
        keys = {stream.key for stream in self._all}
        for key in self._reader.updated.keys() - keys:
            del self._reader.updated[key]
        self._new = [stream for stream in self._all if not stream.located]
        self._slo_time.follow(self._all)
        self._follow()

    def _note_departed(self, streams: Iterable[Stream]) -> None:
        """Remember how far the streams of queues that are gone were read: they may come back."""
        self._departed |= {stream.queue: id_ms(stream.read_after) for stream in streams}
        for queue in list(self._departed)[:-_MAX_DEPARTED]:
            del self._departed[queue]

    def _follow(self) -> None:
        """Follow the streams that are enabled and located."""
        self._followed = [s for s in self._all if s.enabled and s.located]

    def _stream(self, queue: Queue) -> Stream:
        options = self._options
        wanted = options.failure_classes
        reasons = FailureClasses(options.max_failure_classes) if wanted else None
        suspects = EventSuspects(self._redeliveries, reasons)
        matching = self._slos_of(queue.name)
        slos = QueueSlos(matching) if matching else None
        aggregator, since_ms = self._aggregator(suspects, slos), self._watched_since(queue)
        return Stream(queue, queue.key + b"events", aggregator, suspects, since_ms, slos=slos)

    def _aggregator(self, suspects: EventSuspects, slos: QueueSlos | None) -> StreamAggregator:
        options = self._options
        bounds, native = self._bounds, self._native
        wanted = options.failure_classes
        failures = FailureClasses(options.max_failure_classes) if wanted else None
        balance = Balance()
        if options.job_names:
            names = options.max_job_names
            return JobNameAggregator(
                *bounds, names, suspects, failures, balance, slos, native=native
            )
        create = partial(EventAggregator, *bounds, suspects, failures, balance, slos, native=native)
        return TotalAggregator(create, self._empty, failures, balance)

    def _watched_since(self, queue: Queue) -> float:
        """Since when the queue would have been seen, in Unix ms; see `Stream.since_ms`."""
        if not self._all_known:
            return float("inf")
        return max(self._since_ms, self._departed.get(queue, 0))

    def _check(self, context: Context) -> None:
        """Locate new streams, and check a share of the others."""
        new = self._new
        turn, start = divmod(self._passes, self._shares)
        share = slice(start, None, self._shares)
        known = [stream for stream in self._all[share] if stream.located]
        enabled_before = [stream.enabled for stream in known]
        self._check_enabled(context, [*new, *known])
        if new:
            locate(context, new, other_server=self._other_server)
        for stream in new:
            unknown = stream.position == FIRST_ID and stream.max_length is None
            if stream.enabled and stream.located and not unknown:
                self._freeze(stream)
        for stream, before in zip(known, enabled_before, strict=True):
            if stream.enabled and not before:  # what was written meanwhile was not to be counted
                stream.position, stream.located, stream.since_ms = None, False, float("inf")
                stream.aggregator = self._aggregator(stream.suspects, stream.slos)
        if new or enabled_before != [stream.enabled for stream in known]:
            self._new = [stream for stream in self._all if not stream.located]
            self._other_server = self._other_server and bool(self._new)
            self._follow()
        same = () if turn % _TURNS_WHILE_SAME == 0 else self._same(context, share)
        ends = [s for s in known if s.enabled and s.located and s.key not in same]
        self._look_up_ends(context, ends)
        self._pass_changed.update(stream.queue.key for stream in (*new, *ends))

    def _same(self, context: Context, share: slice) -> Container[bytes]:
        """The keys of the streams of a share that seem to be as when their ends were looked up.

        They have the same length, and nothing was read of them since. So they may only be older
        copies of themselves, which their next event will show, and the number of jobs. To look up
        all ends takes a twelfth of the time of a poll where little happens.
        """
        known = context.unfinished
        if known.queues is not self._queues:
            return ()
        pairs = zip(self._all[share], known.events[share], strict=True)
        return {
            stream.key
            for stream, length in pairs
            if length and length == stream.length and not stream.read
        }

    def _freeze(self, stream: Stream) -> None:
        self._frozen[stream.queue] = stream.aggregator.frozen(stream.ledger.audit)
        self._changed = True

    def _check_enabled(self, context: Context, streams: Sequence[Stream]) -> None:
        if not streams:
            return
        packed = b"".join(MAX_LEN.on(stream.queue.key) for stream in streams)
        replies = context.client.batch(packed, len(streams), len(streams) * MAX_LEN.limit).replies
        for stream, reply in zip(streams, replies, strict=True):
            if is_field_list(reply, 2):
                known = stream.enabled, stream.max_length
                stream.enabled = reply[0] != b"0"
                stream.max_length = _max_events(reply[0])
                if known != (stream.enabled, stream.max_length):
                    self._pass_changed.add(stream.queue.key)
                stream.may_have_markers = may_have_markers(reply[1] or b"")
            if not stream.enabled:
                stream.aggregator.reset()
                stream.ledger.stop()
                self._changed |= self._frozen.pop(stream.queue, None) is not None

    def _read(self, context: Context) -> None:
        """Read the new events up to where the streams end now, within the limit of a pass."""
        reader = self._reader
        limit = Limit(self._max_events, time.monotonic() + self._budget)
        reader.read_all(context, self._followed, limit)
        reader.read_on(context, _unread(reader.updated.values()), limit)
        # again with the present ends: the first ones may be those of an earlier pass
        self._count_losses(self._followed)
        counted = {s.key: s for s in self._auditor.to_count(context, self._all, reader.updated)}
        reader.updated |= counted
        self._look_up_ends(context, list(reader.updated.values()), counted)
        self._auditor.note_expected()
        reader.read_on(context, _unread(reader.updated.values()), limit)
        self._count_losses(self._followed)
        self._settle(context, limit)

    def _settle(self, context: Context, limit: Limit) -> None:
        """Settle which missing jobs vanished. Doubts beyond the limit wait for the next pass."""
        reader = self._reader
        doubts = self._auditor.doubtful(reader.updated.values())
        if doubts:
            look_at(context, doubts)
            streams = [doubt.stream for doubt in doubts]
            for stream in streams:
                stream.drained = False
            reader.read_on(context, streams, limit)
        changed = self._auditor.settle([doubt for doubt in doubts if doubt.stream.drained])
        # a queue may be gone since its jobs were reported
        known = [stream for stream in changed if self._streams.get(stream.queue) is stream]
        reader.updated |= {stream.key: stream for stream in known}

    def _look_up_ends(
        self, context: Context, streams: Sequence[Stream], counted: Container[bytes] = ()
    ) -> None:
        """Look up the ends of the streams for which none is known yet, and count the jobs there of
        those whose keys are in `counted`."""
        unknown = [stream for stream in streams if stream.end is None]
        self._note_lost(look_up_ends(context, unknown, counted))

    def _count_losses(self, streams: Sequence[Stream]) -> None:
        self._note_lost(count_losses(streams))

    def _note_lost(self, streams: Iterable[Stream]) -> None:
        self._reader.updated |= {stream.key: stream for stream in streams}

    def _finish_pass(self, context: Context) -> list[Stream]:
        """Freeze what has changed, also in an earlier pass that broke off; returns the streams that
        have unread events."""
        updated = list(self._reader.updated.values())
        self._pass_changed.update(stream.queue.key for stream in updated)
        for stream in updated:
            # else a `stalled` event that belongs to the last one may be on the next page
            if stream.end is None and (stream.drained or not stream.read):
                stream.aggregator.end_of_stream()
        self._bound_memory(updated)
        self._count_oversized(context, updated)
        for stream in updated:
            if stream.enabled:
                self._freeze(stream)
            stream.previous_position = stream.read_after
            if stream.suspects.noted or stream.suspects.retries:
                self._suspects[stream.queue] = stream.suspects
        behind = [stream for stream in updated if stream.end is not None]
        # losses after the last end are counted by the next pass, even if no event follows
        self._reader.updated = {s.key: s for s in updated if s.end is not None or s.read}
        return behind

    def _count_oversized(self, context: Context, updated: Sequence[Stream]) -> None:
        """Count the job names that were too long since the last count."""
        count = sum(stream.aggregator.oversized for stream in updated)
        for stream in updated:
            stream.aggregator.oversized = 0
        outcome = f"counted job names of more than {MAX_LABEL_BYTES} bytes as {OTHER}"
        context.errors.add_oversized(outcome, count)

    def _bound_memory(self, updated: Sequence[Stream]) -> None:
        """Forget the oldest jobs in flight beyond `max_inflight`, over all queues."""
        self._inflight |= {stream.queue: stream.aggregator.inflight for stream in updated}
        if sum(self._inflight.values()) <= self._options.max_inflight:
            return
        aggregators = [self._streams[queue].aggregator for queue in self._inflight]
        excess = sum(each.inflight for each in aggregators) - self._options.max_inflight
        if excess <= 0:
            return
        parts = [(part, each) for each in aggregators for part in each.parts if part.inflight]
        oldest = [(part.oldest_ms, place) for place, (part, _) in enumerate(parts)]
        heapq.heapify(oldest)
        for _ in range(excess):
            place = oldest[0][1]
            part, aggregator = parts[place]
            if (job := part.forget_oldest()) is not None:
                aggregator.forget_name(job)
            if part.inflight:
                heapq.heapreplace(oldest, (part.oldest_ms, place))
            else:
                heapq.heappop(oldest)
        self._dropped += excess
        self._inflight = {q: self._streams[q].aggregator.inflight for q in self._inflight}


def _server_time_ms(context: Context) -> float:
    """The server's time; the queue collector reports it if TIME is refused."""
    return replace(context, errors=CommandErrors()).server_time_ms()


def _max_events(value: bytes | None) -> int | None:
    """The value of `maxLenEvents`; None if it is not set."""
    if value is None:
        return None
    return int(value) if is_digits(value) else DEFAULT_MAX_EVENTS


def _unread(streams: Iterable[Stream]) -> list[Stream]:
    """The streams that may have entries that were not read."""
    return [stream for stream in streams if not (stream.drained or stream.reached_end)]


def _may_differ(server: Metadata, known: Metadata) -> bool:
    """Whether this may be another server than the known one."""
    if server.same_keyspace(known):
        return False
    # servers that hide their ID can only differ after a reconnect
    hidden = not (server.run_id and known.run_id)
    return not hidden or server.connected_at != known.connected_at


def _lag(context: Context, behind: Sequence[Stream]) -> float:
    """Age of the oldest unread event in seconds, approximated by that of the last event read."""
    positions = [id_ms(stream.position) for stream in behind if stream.position is not None]
    if not positions:
        return 0.0
    return max(0.0, (context.server_time_ms() - min(positions)) / 1000)
