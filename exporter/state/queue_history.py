"""The last hour of each queue as points for charts, in a limited number of bytes.

`history.py` remembers half an hour of all counters of a connection, for rates, findings and the
diagnosis. This keeps, for each queue that changes, only what people look at and what scaling rests
on, at even distances: thinned out less, for longer, and compact.

A queue that has had no jobs ready and no events for an hour needs no points: since when it is quiet
says the same. All other queues have as many points as fit into `history.max_bytes`: if there are
too many queues, every second point of all of them is dropped, and from then on they are recorded
half as often. At two minutes between points that ends; then the queues that are blocked come first.

One thread records. What readers get is immutable, so they need no lock.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import isnan, nan
from typing import Any, Final, NamedTuple

from exporter.bullmq import Queue

HOUR_SECONDS: Final = 3600
STEPS: Final = (15, 30, 60, 120)
"""Seconds between two points, the finest first."""


class Point(NamedTuple):
    """A queue at one time; NaN is unknown."""

    ready: float
    """Jobs that a worker could take."""
    oldest_seconds: float
    """Age of the oldest of them; 0 without any."""
    added: float
    """Events per minute since the point before, like the next two."""
    completed: float
    failed: float
    workers: float
    """Connected workers."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is ready, and as far as is known nothing happened."""
        return self.ready == 0 and not (self.added > 0 or self.completed > 0 or self.failed > 0)


FIELDS: Final = len(Point._fields)
UNKNOWN: Final = Point(*[nan] * FIELDS)


class VerdictChange(NamedTuple):
    """When a queue became blocked for another reason than before, or was no longer blocked."""

    time: float
    """Unix time."""
    reason: str
    """Empty if it was no longer blocked."""


class QueueHistory(NamedTuple):
    """What is known of the last hour of a queue."""

    points: tuple[Point, ...]
    """Oldest first, at even distances; the last one is the newest."""
    step_seconds: int
    """Time between two points."""
    age_seconds: float
    """Age of the newest point."""
    changes: tuple[VerdictChange, ...]
    """The last changes of the verdict within the hour, oldest first."""


class Usage(NamedTuple):
    """What the histories take."""

    bytes: int
    """An upper bound of the memory they occupy."""
    skipped: int
    """Queues that change, and of which no points are kept because there is no room."""


class Ring(NamedTuple):
    """The points of a queue: those of one hour, the oldest falling out at every new one.

    It is replaced as a whole, never changed. Memory is allocated in the same sizes all the time.
    """

    end: int
    """The step of the newest point."""
    values: array[float]
    """The fields of all points, point by point."""


_SLACK_SECONDS: Final = 2.0
"""By how much a poll may end earlier than planned and still be of the next step."""
_RING_BYTES: Final = 420
"""A ring without its points: the objects, its place in a dictionary, and what malloc adds."""
_QUIET_BYTES: Final = 120
_CHANGES_BYTES: Final = 1000
_MAX_CHANGES: Final = 6
"""Changes of the verdict that are kept of a queue; they are few, or the last ones say enough."""


@dataclass(slots=True)
class _Connection:
    """The queues of one connection. Only the recording thread changes it."""

    step: int
    zero: float = 0.0
    """Monotonic time at which step 0 began. The first points are at the beginning of a step, so
    that the time to the next ones is a whole step."""
    recorded_at: float = float("-inf")
    """Monotonic time of the last points."""
    rings: dict[Queue, Ring] = field(default_factory=dict)
    quiet: dict[Queue, int] = field(default_factory=dict)
    """Of queues without points: twice the step since which they are quiet, plus one if their events
    are known."""
    blocked: dict[Queue, str] = field(default_factory=dict)
    """The reasons of the queues that are blocked now."""
    changes: dict[Queue, tuple[VerdictChange, ...]] = field(default_factory=dict)
    skipped: int = 0

    def number(self, now: float) -> int:
        """The step of a monotonic time."""
        return int((now - self.zero) // self.step)

    def age(self, end: int, now: float) -> float:
        """The age of points of the step `end` at a monotonic time."""
        newest = self.recorded_at > float("-inf") and end == self.number(self.recorded_at)
        return now - (self.recorded_at if newest else self.zero + end * self.step)

    def size(self) -> int:
        """An upper bound of the bytes that this occupies."""
        return (
            len(self.rings) * ring_bytes(self.step)
            + len(self.quiet) * _QUIET_BYTES
            + len(self.changes.keys() | self.blocked.keys()) * _CHANGES_BYTES
        )


def ring_bytes(step: int) -> int:
    """An upper bound of the bytes of a queue's points."""
    return _RING_BYTES + _length(step) * FIELDS * array("f").itemsize


def _length(step: int) -> int:
    """Points of an hour."""
    return HOUR_SECONDS // step


class QueueHistories:
    """The histories of all queues of all connections."""

    def __init__(self) -> None:
        self._step = STEPS[0]
        self._connections: dict[str, _Connection] = {}
        self._not_before: dict[str, float] = {}
        """Monotonic time at which a connection was forgotten: what is older is of another one."""
        self.usage = Usage(0, 0)

    # --- reading: any thread ---------------------------------------------------------------------

    def of(self, connection: str, queue: Queue, now: float, unix: float) -> QueueHistory | None:
        """The last hour of a queue at monotonic time `now`; None if nothing is known of it.

        `unix` is the same time by the Unix clock, by which the changes of the verdict are dated.
        """
        known = self._connections.get(connection)
        if known is None:
            return None
        ring, quiet, step = known.rings.get(queue), known.quiet.get(queue), known.step
        if ring is not None:
            step = HOUR_SECONDS * FIELDS // max(len(ring.values), 1)
        elif quiet is not None and known.recorded_at > float("-inf"):
            ring = _quiet_ring(quiet, known.number(known.recorded_at), step)
        else:
            return None
        values = ring.values
        points = tuple(Point(*values[i : i + FIELDS]) for i in range(0, len(values), FIELDS))
        since = unix - HOUR_SECONDS
        changes = tuple(each for each in known.changes.get(queue, ()) if each.time >= since)
        return QueueHistory(points, step, max(0.0, known.age(ring.end, now)), changes)

    def ring(self, connection: str, queue: Queue) -> Ring | None:
        """The points of a queue; None if it is quiet or unknown. The same object until it grows."""
        known = self._connections.get(connection)
        return None if known is None else known.rings.get(queue)

    def recorded_at(self, connection: str) -> float | None:
        """Monotonic time of a connection's newest points; None if nothing is known of it."""
        known = self._connections.get(connection)
        return None if known is None else known.recorded_at

    def age_seconds(self, connection: str, ring: Ring, now: float) -> float:
        """The age of the newest point of a connection's queue at monotonic time `now`."""
        known = self._connections.get(connection)
        return float("inf") if known is None else known.age(ring.end, now)

    def idle_seconds(self, connection: str, queue: Queue) -> float | None:
        """For how long a queue without points had neither ready jobs nor events; None if unknown.

        As of the newest point of its connection's queues.
        """
        known = self._connections.get(connection)
        quiet = known.quiet.get(queue) if known is not None else None
        if known is None or quiet is None or not quiet % 2:
            return None
        return max(0.0, known.recorded_at - known.zero - quiet // 2 * known.step)

    def blocked_since(self, connection: str, queue: Queue) -> float | None:
        """Unix time since when a queue is blocked for its present reason; None if unknown."""
        known = self._connections.get(connection)
        changes = known.changes.get(queue, ()) if known is not None else ()
        return changes[-1].time if changes and changes[-1].reason else None

    # --- recording: one thread -------------------------------------------------------------------

    def due(self, connection: str, at: float) -> int | None:
        """Seconds that the next point of a connection covers; None if it is not due at that time.

        `at` is the monotonic time at which the facts were read.
        """
        if at < self._not_before.get(connection, float("-inf")):
            return None
        known = self._connections.get(connection)
        if known is None or known.recorded_at == float("-inf"):
            return self._step
        return self._step if known.number(at) > known.number(known.recorded_at) else None

    def forget(self, connection: str, now: float) -> None:
        """Forget a connection, and refuse what was read before `now`. Any thread may call it."""
        self._not_before[connection] = now
        self._connections.pop(connection, None)

    def note_verdicts(
        self,
        connection: str,
        now: float,
        unix: float,
        blocked: Mapping[Queue, str],
        max_bytes: int,
    ) -> None:
        """Record which queues are blocked now, each with the reason."""
        if now < self._not_before.get(connection, float("-inf")):
            return
        known = self._connections.setdefault(connection, _Connection(self._step))
        if blocked == known.blocked:
            return
        for queue in blocked.keys() | known.blocked.keys():
            reason = blocked.get(queue, "")
            if reason != known.blocked.get(queue, ""):
                change = VerdictChange(unix, reason)
                known.changes[queue] = (*known.changes.get(queue, ()), change)[-_MAX_CHANGES:]
        known.blocked = dict(blocked)
        self._shrink(known, max_bytes)

    def record(
        self,
        connection: str,
        now: float,
        unix: float,
        points: Mapping[Queue, Point],
        *,
        valid_seconds: float,
        max_bytes: int,
    ) -> None:
        """Add a point of every queue, read at monotonic time `now`.

        Facts are valid for `valid_seconds`: if the polls are further apart than points, the points
        between repeat what was known; a longer time without facts is unknown.
        """
        known = self._connections.setdefault(connection, _Connection(self._step))
        if known.recorded_at == float("-inf"):
            known.zero = now - _SLACK_SECONDS
        valid = now - known.recorded_at <= valid_seconds
        repeated = known.number(known.recorded_at) if valid else None
        known.recorded_at, end = now, known.number(now)
        _extend(known, points, end, repeated)
        _note_quiet(known, points, end)
        _forget_old(known, points, end, unix - HOUR_SECONDS)
        for each in tuple(self._connections.values()):  # one that is down, or read by another
            if now - each.recorded_at >= HOUR_SECONDS:
                each.rings.clear()
                each.quiet.clear()
        self._shrink(known, max_bytes)
        self._admit(known, points, max_bytes)
        every = tuple(self._connections.values())
        self.usage = Usage(sum(each.size() for each in every), sum(each.skipped for each in every))

    def _admit(self, known: _Connection, points: Mapping[Queue, Point], max_bytes: int) -> None:
        """Give points to the queues that have begun to change, as far as there is room."""
        new = [q for q, point in points.items() if q not in known.rings and not point.quiet]
        new.sort(key=lambda queue: queue not in known.blocked)
        while self._left(max_bytes) < len(new) * ring_bytes(self._step) and self._coarsen():
            pass
        room = max(0, self._left(max_bytes) // ring_bytes(self._step))
        end, known.skipped = known.number(known.recorded_at), 0
        replaceable = (queue for queue in tuple(known.rings) if queue not in known.blocked)
        for queue in new:
            if room <= 0 and queue in known.blocked:
                room += known.rings.pop(next(replaceable, queue), None) is not None
            if room <= 0:
                known.skipped += 1
                continue
            room -= 1
            quiet = known.quiet.pop(queue, None)
            known.rings[queue] = _first_ring(points[queue], quiet, end, known.step)

    def _shrink(self, known: _Connection, max_bytes: int) -> None:
        """Make what is kept fit: a reload may allow less, and verdicts take some bytes."""
        while self._left(max_bytes) < 0 and self._coarsen():
            pass
        kept: dict[Queue, Any]
        for kept in (known.quiet, known.rings, known.changes, known.blocked):
            for queue in sorted(kept, key=known.blocked.__contains__):
                if self._left(max_bytes) >= 0:
                    return
                del kept[queue]

    def _left(self, max_bytes: int) -> int:
        return max_bytes - sum(each.size() for each in tuple(self._connections.values()))

    def _coarsen(self) -> bool:
        """Record half as often from now on, and drop every second point; whether that is allowed.

        A rate is one of the time before its point. The ones that go are as typical as the others.
        """
        place = STEPS.index(self._step) + 1
        if place == len(STEPS):
            return False
        self._step = STEPS[place]
        for known in tuple(self._connections.values()):
            known.step = self._step
            known.rings = {queue: _halved(ring) for queue, ring in known.rings.items()}
            known.quiet = {
                queue: (quiet // 2 + 1) // 2 * 2 + quiet % 2 for queue, quiet in known.quiet.items()
            }
        return True


def _extend(
    known: _Connection, points: Mapping[Queue, Point], end: int, repeated: int | None
) -> None:
    """Add the points of the queues that have any.

    Points of the step `repeated` also stand for the steps between; after others is a gap.
    """
    length = _length(known.step) * FIELDS
    unknown = array("f", UNKNOWN)
    for queue, ring in known.rings.items():
        point = points.get(queue)
        if point is None:
            continue
        values, missing = ring.values, end - ring.end - 1
        if missing > 0:
            gap = values[-FIELDS:] if ring.end == repeated else unknown
            values = values + gap * min(missing, _length(known.step))
        known.rings[queue] = Ring(end, (values + array("f", point))[-length:])


def _note_quiet(known: _Connection, points: Mapping[Queue, Point], end: int) -> None:
    """Note since when queues without points are quiet."""
    both = [2 * end, 2 * end + 1]  # shared numbers take no memory
    quiet = known.quiet
    for queue, point in points.items():
        if point.quiet and queue not in known.rings:
            events = not isnan(point.added)
            if queue not in quiet or quiet[queue] % 2 != events:
                quiet[queue] = both[events]


def _forget_old(known: _Connection, points: Mapping[Queue, Point], end: int, since: float) -> None:
    """Forget what ended an hour ago; points that are all quiet become one number."""
    length = _length(known.step)
    for queue, ring in tuple(known.rings.items()):
        if end - ring.end >= length:
            del known.rings[queue]
        elif queue in points and points[queue].quiet and _is_all_quiet(ring, length):
            del known.rings[queue]
            known.quiet[queue] = 2 * (end - length + 1) + (not isnan(points[queue].added))
    for queue in [queue for queue in known.quiet if queue not in points]:
        del known.quiet[queue]
    for queue, changes in tuple(known.changes.items()):
        if changes[-1].time < since and not changes[-1].reason:
            del known.changes[queue]


def _is_all_quiet(ring: Ring, length: int) -> bool:
    """Whether a full hour is known, without a ready job or an event."""
    values = ring.values
    if len(values) < length * FIELDS:
        return False
    columns = chain(values[0::FIELDS], values[2::FIELDS], values[3::FIELDS], values[4::FIELDS])
    return not any(columns)  # NaN counts as true


def _first_ring(point: Point, quiet: int | None, end: int, step: int) -> Ring:
    """A full ring that ends with this point: before, the queue was quiet, or unknown."""
    before = _quiet_ring(quiet, end - 1, step).values if quiet is not None else array("f")
    unknown = array("f", UNKNOWN) * (_length(step) - len(before) // FIELDS)
    return Ring(end, (unknown + before + array("f", point))[FIELDS:])


def _quiet_ring(quiet: int, end: int, step: int) -> Ring:
    """The points of a queue that has been quiet since a step."""
    since, events = divmod(quiet, 2)
    rate = 0.0 if events else nan
    number = max(0, min(end - since + 1, _length(step)))
    return Ring(end, array("f", Point(0.0, 0.0, rate, rate, rate, nan)) * number)


def _halved(ring: Ring) -> Ring:
    """Every second point, so that the newest of an old pair of steps is that of the new step."""
    width = FIELDS * ring.values.itemsize
    raw, number = ring.values.tobytes(), len(ring.values) // FIELDS
    last = number - 1
    kept = range(last % 2, number, 2)
    values: array[float] = array("f")
    values.frombytes(b"".join([raw[each * width : (each + 1) * width] for each in kept]))
    return Ring(ring.end // 2, values)
