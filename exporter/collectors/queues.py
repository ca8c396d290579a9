"""The queues: how many jobs are in which state, whether they are paused, and their settings.

A round trip reads the counts of a batch of queues with commands that were packed when the set of
queues last changed. A second one asks only what those counts leave open: the ends of lists that may
hold markers, the rate limit of queues with ready jobs, whether an empty queue still exists, and
settings that are due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import Final

from exporter.bullmq import (
    COUNTS,
    LISTS,
    SETTINGS,
    STALLED_CHECK_GRACE_SECONDS,
    Queue,
    Settings,
    jobs_in_list,
    settings_of,
)
from exporter.collectors.contract import Context, Scope
from exporter.connection import Reply, pack
from exporter.snapshot import QueueTable

Column = list[int | float | None]

# Redis serves its other clients after each 16 kB of a pipeline, so long ones hold nobody up.
_BATCH_COMMANDS: Final = 4000
_BATCH_BYTES: Final = 1 << 19

SETTINGS_SECONDS: Final = 60.0
"""How old settings may get. Each poll reads its share of the queues, so there is no peak."""


@dataclass(slots=True)
class _Memory:
    """What is remembered of a queue from poll to poll."""

    settings: Settings | None = None
    """None until they were read."""
    marked: bool = False
    """Whether a marker was in one of its lists the last time they were looked at."""
    worker_seen: float = float("-inf")
    """When a worker's stalled-check was last seen on a queue without any other key."""

    @property
    def suspect(self) -> bool:
        """Whether its lists may hold markers."""
        return self.marked or self.settings is None or self.settings.may_have_markers


@dataclass(slots=True)
class _Batch:
    """Queues that are read together; all lists by row."""

    queues: list[Queue] = field(default_factory=list)
    packed: bytes = b""
    rate_limits: list[bytes] = field(default_factory=list)
    """The packed PTTL of each queue's `limiter`."""
    memories: list[_Memory] = field(default_factory=list)


@dataclass(slots=True)
class _Question:
    """One thing asked of some rows: `width` replies a row go to `answer`."""

    rows: list[int]
    packed: list[bytes]
    width: int
    answer: Callable[[int, list[Reply]], None]


class QueueCollector:
    """Reads every watched queue; see the module for how."""

    name = "queues"
    scope = Scope.DATABASE

    def __init__(self, poll_interval: float) -> None:
        self._turns = max(1, round(SETTINGS_SECONDS / poll_interval))
        self._turn = 0
        self._queues: tuple[Queue, ...] = ()
        self._batches: list[_Batch] = []
        self._mask: list[bool] = []
        self._shown: tuple[Queue, ...] = ()

    def collect(self, context: Context) -> QueueTable:
        """The table of the queues that exist, one consistent set of rows in all columns."""
        if context.queues is not self._queues:
            self._plan(context.queues)
        self._turn = (self._turn + 1) % self._turns
        readings = [_Reading(batch, context, self._due(batch)).read() for batch in self._batches]
        mask = list(chain.from_iterable(reading.exists for reading in readings))
        if mask != self._mask:
            self._mask, self._shown = mask, tuple(compress(self._queues, mask))
        return QueueTable(self._shown, self._columns(readings), self._versions())

    def _plan(self, queues: tuple[Queue, ...]) -> None:
        known: dict[Queue, _Memory] = {}
        for batch in self._batches:
            known.update(zip(batch.queues, batch.memories, strict=True))
        self._queues, self._mask = queues, []
        self._batches = [
            _Batch(
                queues=group,
                packed=b"".join(map(_count_commands, group)),
                rate_limits=[pack("PTTL", queue.key + b"limiter") for queue in group],
                memories=[known.get(queue) or _Memory() for queue in group],
            )
            for group in _grouped(queues)
        ]

    def _due(self, batch: _Batch) -> list[int]:
        """The rows whose settings are read at this poll."""
        return [
            row
            for row, memory in enumerate(batch.memories)
            if memory.settings is None or row % self._turns == self._turn
        ]

    def _columns(self, readings: Sequence[_Reading]) -> dict[str, Column]:
        names = readings[0].columns if readings else ()
        hidden = not all(self._mask)
        columns = {}
        for name in names:
            column = list(chain.from_iterable(reading.columns[name] for reading in readings))
            columns[name] = list(compress(column, self._mask)) if hidden else column
        return columns

    def _versions(self) -> tuple[str, ...]:
        memories = chain.from_iterable(batch.memories for batch in self._batches)
        return tuple(
            memory.settings.version if memory.settings else ""
            for memory in compress(memories, self._mask)
        )


class _Reading:
    """One batch at one poll."""

    def __init__(self, batch: _Batch, context: Context, due: list[int]) -> None:
        self._batch = batch
        self._context = context
        self._due = due
        self._counts: list[Column] = []
        self._rate_limits: Column = [None] * len(batch.queues)
        self.exists = [True] * len(batch.queues)
        self.columns: dict[str, Column] = {}

    def read(self) -> _Reading:
        replies = self._ask(
            self._batch.packed, len(self._batch.queues) * len(COUNTS), self._count_name
        )
        width = len(COUNTS)
        self._counts = [replies[place::width] for place in range(width)]
        self._follow_up(
            [self._settings(), self._rate_limit(), self._existence(), self._list_ends()]
        )
        self.columns = self._named_columns()
        return self

    def _named_columns(self) -> dict[str, Column]:
        wait, paused, active, prioritized, delayed, children, completed, failed, *rest = (
            self._counts
        )
        is_paused, events = rest
        return {
            "waiting": [
                None if a is None or b is None else a + b for a, b in zip(wait, paused, strict=True)
            ],
            "active": active,
            "delayed": delayed,
            "prioritized": prioritized,
            "waiting-children": children,
            "completed": completed,
            "failed": failed,
            "paused": is_paused,
            "events_stream_length": events,
            "concurrency_limit": [
                memory.settings.concurrency if memory.settings else None
                for memory in self._batch.memories
            ],
            "rate_limit_remaining_seconds": self._rate_limits,
        }

    # --- the follow-up questions -------------------------------------------------------------

    def _settings(self) -> _Question:
        def answer(row: int, replies: list[Reply]) -> None:
            if replies[0] is not None:
                self._batch.memories[row].settings = settings_of(replies[0])

        keys = [self._batch.queues[row].key + b"meta" for row in self._due]
        return _Question(self._due, [pack("HMGET", key, *SETTINGS) for key in keys], 1, answer)

    def _rate_limit(self) -> _Question:
        """`limiter` lives as long as a rate window does (PTTL); only ready jobs wait for it."""

        def answer(row: int, replies: list[Reply]) -> None:
            left = replies[0]
            if left is not None and left >= 0:
                self._rate_limits[row] = left / 1000
            elif left is not None and limited(row):
                self._rate_limits[row] = 0

        def limited(row: int) -> bool:
            settings = self._batch.memories[row].settings
            return settings is not None and settings.rate_max is not None

        ready = zip(self._counts[0], self._counts[1], self._counts[3], strict=True)
        rows = [row for row, counts in enumerate(ready) if any(counts) or limited(row)]
        return _Question(rows, [self._batch.rate_limits[row] for row in rows], 1, answer)

    def _existence(self) -> _Question:
        """Whether queues without any job still have a key that tells of them."""

        def answer(row: int, replies: list[Reply]) -> None:
            own, workers = replies
            memory, now = self._batch.memories[row], self._context.now
            if workers:
                memory.worker_seen = now
            silent = now - memory.worker_seen > STALLED_CHECK_GRACE_SECONDS
            gone = own == 0 and workers == 0 and silent
            self.exists[row] = self._batch.queues[row].static or not gone

        rows = [
            row for row, counts in enumerate(zip(*self._counts, strict=True)) if not any(counts)
        ]
        packed = [_existence_commands(self._batch.queues[row]) for row in rows]
        return _Question(rows, packed, 2, answer)

    def _list_ends(self) -> _Question:
        """The lists' lengths once more, with both ends, where they may hold markers."""

        def answer(row: int, replies: list[Reply]) -> None:
            marked = False
            for place in range(len(LISTS)):
                length, head, tail = replies[3 * place : 3 * place + 3]
                if length is None:
                    continue
                jobs = jobs_in_list(length, head, tail)
                marked = marked or jobs < length
                self._counts[place][row] = jobs
            self._batch.memories[row].marked = marked

        lists = zip(*self._counts[: len(LISTS)], strict=True)
        due = set(self._due)
        rows = [
            row
            for row, lengths in enumerate(lists)
            if any(lengths) and (row in due or self._batch.memories[row].suspect)
        ]
        packed = [_list_end_commands(self._batch.queues[row]) for row in rows]
        return _Question(rows, packed, 3 * len(LISTS), answer)

    def _follow_up(self, questions: Sequence[_Question]) -> None:
        packed = b"".join(chain.from_iterable(question.packed for question in questions))
        if not packed:
            return
        owners = [
            row for question in questions for row in question.rows for _ in range(question.width)
        ]
        replies = self._ask(packed, len(owners), lambda place: self._shown(owners[place]))
        start = 0
        for question in questions:
            for row in question.rows:
                question.answer(row, replies[start : start + question.width])
                start += question.width

    # --- asking ------------------------------------------------------------------------------

    def _ask(self, packed: bytes, count: int, name: Callable[[int], str]) -> list[Reply]:
        """The replies, None in the place of an error."""
        batch = self._context.client.batch(packed, count)
        for place in batch.failed:
            self._context.faults.add(batch.replies[place], name(place))
            batch.replies[place] = None
        return batch.replies

    def _count_name(self, place: int) -> str:
        row, column = divmod(place, len(COUNTS))
        return f"{COUNTS[column][0]} {self._shown(row, COUNTS[column][1])}"

    def _shown(self, row: int, suffix: str = "") -> str:
        """A key for the log; a name may be long."""
        return repr((self._batch.queues[row].key + suffix.encode())[:200])


def _grouped(queues: Sequence[Queue]) -> Iterator[list[Queue]]:
    """Batches bounded in commands and, since a name may be long, in bytes."""
    group: list[Queue] = []
    size = 0
    for queue in queues:
        cost = len(COUNTS) * (len(queue.key) + 40)
        full = (len(group) + 1) * len(COUNTS) > _BATCH_COMMANDS or size + cost > _BATCH_BYTES
        if group and full:
            yield group
            group, size = [], 0
        group.append(queue)
        size += cost
    if group:
        yield group


def _count_commands(queue: Queue) -> bytes:
    return b"".join(
        pack(command, queue.key + suffix.encode(), *more) for command, suffix, *more in COUNTS
    )


def _list_end_commands(queue: Queue) -> bytes:
    keys = [queue.key + name.encode() for name in LISTS]
    return b"".join(
        pack("LLEN", key) + pack("LINDEX", key, 0) + pack("LINDEX", key, -1) for key in keys
    )


def _existence_commands(queue: Queue) -> bytes:
    return pack("EXISTS", queue.key + b"meta", queue.key + b"id") + pack(
        "EXISTS", queue.key + b"stalled-check"
    )
