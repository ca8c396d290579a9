"""Batches of queues with their packed commands, and what is remembered of each queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter.bullmq import COUNTS, Queue, Settings
from exporter.connection import pack

# Redis serves its other clients after each 16 kB of a pipeline, so long ones hold nobody up.
_BATCH_COMMANDS: Final = 4000
_BATCH_BYTES: Final = 1 << 19

TAIL_JOBS: Final = 4
"""Jobs looked at from the end where workers take them; one is looked at from the other end."""


@dataclass(slots=True)
class Progress:
    """What was seen of a queue's movement at a poll."""

    next_job: bytes | None = None
    """The job that the next worker takes from the list."""
    first_prioritized: tuple[bytes, float] | None = None
    """The most urgent prioritized job, and its score."""
    newest_active: bytes | None = None
    finished: tuple[object, object] = (None, None)
    """How many jobs were completed and failed."""


@dataclass(slots=True)
class Memory:
    """What is remembered of a queue from poll to poll."""

    settings: Settings | None = None
    """None until they were read."""
    schedulers: int | None = None
    marked: bool = False
    """Whether a marker was in one of its lists the last time they were looked at."""
    worker_seen: float = float("-inf")
    """When a worker's stalled-check was last seen on a queue without any other key."""
    stalled_check_ms: float = 0.0
    """The greatest value seen of `stalled-check`, the time of a worker's last check."""
    life_asked: float = float("-inf")
    """Monotonic time at which `stalled-check` and the active jobs' locks were last asked for."""
    active_locked: int | None = None
    """Whether a worker held an active job then."""
    bands: tuple[int, ...] = ()
    """The priorities seen among prioritized jobs, ascending."""
    bands_asked: tuple[bytes, int] | None = None
    """The packed commands that ask for the first job of each, and their number."""
    prioritized: int = 0
    """The jobs there were when all priorities were last looked through."""
    jobs: tuple[bytes, ...] = ()
    """The waiting jobs last looked at, and the time since when the oldest of them is ready."""
    oldest_ms: float | None = None
    active: tuple[bytes | None, float | None] = (None, None)
    """The oldest active job, and when it was started."""
    progress: Progress = field(default_factory=Progress)
    ready_since: float | None = None
    """Monotonic time since when there has always been ready work."""
    still_since: float | None = None
    """Monotonic time since when ready work has not been seen to move."""

    @property
    def suspect(self) -> bool:
        """Whether its lists may hold markers."""
        return self.marked or self.settings is None or self.settings.may_have_markers


@dataclass(frozen=True, slots=True)
class Packed:
    """Commands about one queue that never change."""

    rate_limit: bytes
    tails: tuple[bytes, bytes]
    """Of `wait` and `paused`."""
    heads: tuple[bytes, bytes]
    active_ends: bytes
    """Two commands: the oldest and the newest."""
    first_delayed: bytes


@dataclass(slots=True)
class Batch:
    """Queues that are read together; all lists by row."""

    queues: list[Queue]
    memories: list[Memory]
    counts: bytes
    """The commands that count, for all rows."""
    packed: list[Packed]


def make_batches(queues: Sequence[Queue], known: dict[Queue, Memory]) -> list[Batch]:
    """Batches of these queues; what is known of a queue goes with it."""
    return [
        Batch(
            queues=group,
            memories=[known.get(queue) or Memory() for queue in group],
            counts=b"".join(map(_count_commands, group)),
            packed=[_pack(queue.key) for queue in group],
        )
        for group in _grouped(queues)
    ]


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


def _pack(key: bytes) -> Packed:
    lists = (key + b"wait", key + b"paused")
    active = key + b"active"
    return Packed(
        rate_limit=pack("PTTL", key + b"limiter"),
        tails=(
            pack("LRANGE", lists[0], -TAIL_JOBS, -1),
            pack("LRANGE", lists[1], -TAIL_JOBS, -1),
        ),
        heads=(pack("LINDEX", lists[0], 0), pack("LINDEX", lists[1], 0)),
        active_ends=pack("LINDEX", active, -1) + pack("LINDEX", active, 0),
        first_delayed=pack("ZRANGE", key + b"delayed", 0, 0, "WITHSCORES"),
    )
