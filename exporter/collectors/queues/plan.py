"""Batches of queues, and their commands: packed when first needed, then kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from exporter.bullmq import COUNTS, LISTS, SETTINGS, Queue
from exporter.collectors.queues.kept import Kept
from exporter.connection import pack

# Redis serves its other clients after each 16 kB of a pipeline, so long ones hold nobody up.
_BATCH_COMMANDS: Final = 4000
_BATCH_BYTES: Final = 1 << 19

TAIL_JOBS: Final = 4
"""Jobs looked at from the end where workers take them; one is looked at from the other end."""


class Commands:
    """The same commands for each row."""

    def __init__(
        self, queues: Sequence[Queue], make: Callable[[bytes], bytes], kinds: Sequence[type]
    ) -> None:
        self._queues = queues
        self._make = make
        self._packed: list[bytes] = [b""] * len(queues)
        self.kinds = kinds
        """The types of their replies, for a row."""

    def of(self, rows: Sequence[int]) -> bytes:
        """Those of some rows, in order."""
        packed = self._packed
        return b"".join([packed[row] or self._pack(row) for row in rows])

    def _pack(self, row: int) -> bytes:
        packed = self._packed[row] = self._make(self._queues[row].key)
        return packed


class Batch:
    """Queues that are read together; everything is by row."""

    def __init__(self, queues: list[Queue], kept: Kept) -> None:
        self.queues = queues
        self.kept = kept
        """What is remembered of them."""
        self.counts = b"".join([_count_commands(queue.key) for queue in queues])
        """The commands that count, for all rows."""

        def commands(make: Callable[[bytes], bytes], *kinds: type) -> Commands:
            return Commands(queues, make, kinds)

        self.settings = commands(_settings, list, int)
        self.existence = commands(_existence, int, int, bytes)
        self.list_ends = [commands(_list_ends(n.encode()), int, bytes, bytes) for n in LISTS]
        self.rate_limit = commands(lambda key: pack("PTTL", key + b"limiter"), int)
        self.rate_count = commands(lambda key: pack("GET", key + b"limiter"), bytes)
        self.wait_tail = commands(lambda key: pack("LRANGE", key + b"wait", -TAIL_JOBS, -1), list)
        self.wait_head = commands(lambda key: pack("LINDEX", key + b"wait", 0), bytes)
        self.paused_tail = commands(
            lambda key: pack("LRANGE", key + b"paused", -TAIL_JOBS, -1), list
        )
        self.paused_head = commands(lambda key: pack("LINDEX", key + b"paused", 0), bytes)
        self.oldest_active = commands(lambda key: pack("LINDEX", key + b"active", -1), bytes)
        self.newest_active = commands(lambda key: pack("LINDEX", key + b"active", 0), bytes)
        self.first_delayed = commands(
            lambda key: pack("ZRANGE", key + b"delayed", 0, 0, "WITHSCORES"), list
        )
        self.schedulers = commands(_schedulers, int, list)
        self.stalled_check = commands(lambda key: pack("GET", key + b"stalled-check"), bytes)

    def key(self, row: int, suffix: bytes) -> bytes:
        """A key of the row's queue."""
        return self.queues[row].key + suffix

    def command(self, command: str, row: int, suffix: bytes, *more: str | int) -> bytes:
        """A packed command on such a key."""
        return pack(command, self.queues[row].key + suffix, *more)


def make_batches(queues: Sequence[Queue], former: Sequence[Batch] = ()) -> list[Batch]:
    """Batches of these queues; what the former ones remember of a queue goes with it."""
    known = {queue: (batch.kept, row) for batch in former for row, queue in enumerate(batch.queues)}
    return [Batch(group, Kept.of(map(known.get, group))) for group in _grouped(queues)]


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


def _count_commands(key: bytes) -> bytes:
    return b"".join(
        [pack(command, key + suffix.encode(), *more) for command, suffix, *more in COUNTS]
    )


def _settings(key: bytes) -> bytes:
    return pack("HMGET", key + b"meta", *SETTINGS) + pack("ZCARD", key + b"repeat")


def _existence(key: bytes) -> bytes:
    return (
        pack("EXISTS", key + b"meta")
        + pack("EXISTS", key + b"id")
        + pack("GET", key + b"stalled-check")
    )


def _list_ends(name: bytes) -> Callable[[bytes], bytes]:
    def make(key: bytes) -> bytes:
        key += name
        return pack("LLEN", key) + pack("LINDEX", key, 0) + pack("LINDEX", key, -1)

    return make


def _schedulers(key: bytes) -> bytes:
    key += b"repeat"
    return pack("ZCARD", key) + pack("ZRANGE", key, 0, 0, "WITHSCORES")
