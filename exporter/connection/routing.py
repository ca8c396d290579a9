"""Splits a batch of packed commands by the slots of their keys. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from types import NoneType
from typing import Final

import hiredis
from redis.crc import key_slot

from exporter.connection.client import Reply, pack
from exporter.connection.errors import ReplyError
from exporter.connection.replies import unexpected

_KEYLESS: Final = frozenset(
    {b"PING", b"TIME", b"INFO", b"DBSIZE", b"SCAN", b"CLIENT", b"CLUSTER", b"ASKING"}
)

_CONTAINERS: Final = frozenset({b"MEMORY", b"XINFO"})
"""Commands whose key follows a subcommand."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive commands for one slot."""

    slot: int | None
    """None: any node."""
    start: int
    """Index of the first command among all commands sent."""
    count: int
    packed: bytes

    def commands(self) -> list[bytes]:
        """The commands, each packed."""
        return [pack(*command) for command in _commands(self.packed, self.count)]


@dataclass(frozen=True, slots=True)
class Plan:
    """The commands sent for a batch; one whose keys are in several slots is split."""

    runs: tuple[Run, ...]
    """In order. BullMQ keeps all keys of a queue in one slot, so runs are few."""
    widths: tuple[int, ...]
    """Number of commands sent for each command of the batch."""

    @property
    def size(self) -> int:
        """The total number of commands sent."""
        return sum(self.widths)

    def join(self, replies: list[Reply]) -> list[Reply]:
        """One reply for each command of the batch, from the replies to all commands sent."""
        if len(replies) == len(self.widths):
            return replies
        rest = iter(replies)
        return [_joined([next(rest) for _ in range(width)]) for width in self.widths]


def plan_of(packed: bytes, count: int) -> Plan:
    """Split a batch of `count` packed commands."""
    parts = [_parts(command) for command in _commands(packed, count)]
    runs: list[Run] = []
    start = 0
    for slot, group in groupby(chain.from_iterable(parts), key=itemgetter(0)):
        commands = [pack(*command) for _, command in group]
        runs.append(Run(slot, start, len(commands), b"".join(commands)))
        start += len(commands)
    return Plan(tuple(runs), tuple(map(len, parts)))


def _joined(replies: list[Reply]) -> Reply:
    """The reply to a split XREAD: the streams with entries, or None. Raises `RedisFailure`."""
    if len(replies) == 1:
        return replies[0]
    error = next((reply for reply in replies if isinstance(reply, ReplyError)), None)
    if error is None and not {list, NoneType}.issuperset(map(type, replies)):
        raise unexpected("XREAD")
    streams = [stream for reply in replies if reply and not error for stream in reply]
    return error or streams or None


def _commands(packed: bytes, count: int) -> list[list[bytes]]:
    # on the wire, a command has the format of a list reply
    reader = hiredis.Reader()
    reader.feed(packed)
    return [reader.gets() for _ in range(count)]


def _parts(command: list[bytes]) -> list[tuple[int | None, list[bytes]]]:
    """The command, split by slot; only XREAD has keys of several queues."""
    name = command[0].upper()
    if name in _KEYLESS:
        return [(None, command)]
    if name == b"XREAD":
        return list(_by_slot(command))
    key = command[2] if name in _CONTAINERS else command[1]
    return [(key_slot(key), command)]


def _by_slot(xread: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    start = xread.index(b"STREAMS") + 1
    head, streams = xread[:start], xread[start:]
    half = len(streams) // 2
    groups: dict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(streams[:half]):
        groups[key_slot(key)].append(place)
    for slot, places in groups.items():
        yield slot, [*head, *_pick(streams, places), *_pick(streams[half:], places)]


def _pick(arguments: Sequence[bytes], places: Sequence[int]) -> list[bytes]:
    return [arguments[place] for place in places]
