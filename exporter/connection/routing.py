"""Taking a batch of packed commands apart by the slots of their keys. Pure."""

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


@dataclass(frozen=True, slots=True)
class Run:
    """Commands that stand together and go to one slot."""

    slot: int | None
    """None: to any node."""
    start: int
    """The place of the first of them among all commands that are sent."""
    count: int
    packed: bytes

    def commands(self) -> list[bytes]:
        """Its commands, each packed."""
        return [pack(*command) for command in _commands(self.packed, self.count)]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent for a batch: its commands, or several for one whose keys are in many slots."""

    runs: tuple[Run, ...]
    """In order. All keys of a queue are in one slot, which BullMQ needs, so there are few."""
    widths: tuple[int, ...]
    """How many commands are sent for each one of the batch."""

    @property
    def size(self) -> int:
        """The number of commands that are sent."""
        return sum(self.widths)

    def join(self, replies: list[Reply]) -> list[Reply]:
        """A reply for each command of the batch."""
        if len(replies) == len(self.widths):
            return replies
        rest = iter(replies)
        return [_joined([next(rest) for _ in range(width)]) for width in self.widths]


def plan_of(packed: bytes, count: int) -> Plan:
    """Takes a batch apart."""
    parts = [_parts(command) for command in _commands(packed, count)]
    runs: list[Run] = []
    start = 0
    for slot, group in groupby(chain.from_iterable(parts), key=itemgetter(0)):
        commands = [pack(*command) for _, command in group]
        runs.append(Run(slot, start, len(commands), b"".join(commands)))
        start += len(commands)
    return Plan(tuple(runs), tuple(map(len, parts)))


def _joined(replies: list[Reply]) -> Reply:
    """XREAD's reply: the streams with news, or null. Raises `RedisFailure`."""
    if len(replies) == 1:
        return replies[0]
    error = next((reply for reply in replies if isinstance(reply, ReplyError)), None)
    if error is None and not {list, NoneType}.issuperset(map(type, replies)):
        raise unexpected("XREAD")
    news = [stream for reply in replies if reply and not error for stream in reply]
    return error or news or None


def _commands(packed: bytes, count: int) -> list[list[bytes]]:
    # a command on the wire has the form of a reply that is a list
    reader = hiredis.Reader()
    reader.feed(packed)
    return [reader.gets() for _ in range(count)]


def _parts(command: list[bytes]) -> list[tuple[int | None, list[bytes]]]:
    """The command by slot; only XREAD is asked about keys of several queues."""
    name = command[0].upper()
    if name in _KEYLESS:
        return [(None, command)]
    if name == b"XREAD":
        return list(_by_slot(command))
    key = command[2] if name == b"XINFO" else command[1]
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


def _pick(words: Sequence[bytes], places: Sequence[int]) -> list[bytes]:
    return [words[place] for place in places]
