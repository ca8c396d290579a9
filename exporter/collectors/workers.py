"""Workers, from one CLIENT LIST for all queues of a database.

Absent from here does not prove absent: CLIENT SETNAME refuses spaces and characters outside ASCII,
so a worker with such a name has none. Where a provider refuses the list or sends an empty one, and
on a replica, where workers are not connected, nothing is known.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from exporter.bullmq import BLOCKING_COMMANDS, WORKER_SUFFIX, Queue, worker_names
from exporter.collectors.contract import Context, Scope
from exporter.connection import Client, Command, ReplyError, expect_string
from exporter.state.snapshots import WorkerCount, WorkerFacts

CLIENT_LIST: Final = Command(
    "CLIENT LIST",
    probe=(),
    reply=bytes,
    cost="bullmq_queue_workers; whether workers live is told less surely",
)

_FIELDS: Final = re.compile(rb"(?:^| )(name|db|flags|cmd)=(\S*)")


Names = dict[bytes, tuple[Queue, bool]]
"""What workers call their connections → their queue, and whether it is Node's spelling."""


@dataclass(slots=True)
class _Tally:
    """Connections of one queue's workers, by spelling."""

    node: int = 0
    node_idle: int = 0
    python_blocking: int = 0
    python_idle: int = 0
    python_other: int = 0

    def count(self) -> WorkerCount:
        """A Node worker has one named connection; one of Python's has two, of which one blocks."""
        python = max(self.python_blocking, self.python_other)
        return WorkerCount(self.node + python, self.node_idle + self.python_idle)


class WorkersCollector:
    """Counts the workers of every watched queue."""

    name = "workers"
    scope = Scope.DATABASE

    def __init__(self) -> None:
        self._queues: tuple[Queue, ...] = ()
        self._names: Names = {}

    def collect(self, context: Context) -> WorkerFacts:
        """Workers by queue; queues without any are left out."""
        if context.queues is not self._queues:
            self._queues = context.queues
            self._names = names_of(context.queues)
        lists = [self._counts(node) for node in context.client.nodes]
        return WorkerFacts(lists[0] if len(lists) == 1 else greatest(lists))

    def _counts(self, node: Client) -> dict[Queue, WorkerCount]:
        reply = node.call(CLIENT_LIST.on())
        lines = expect_string(reply, "CLIENT LIST").splitlines()
        metadata = node.metadata
        if metadata is not None and metadata.role == "slave":
            raise ReplyError("NOPERM on a replica, 'client|list' does not show the workers")
        if not _lists_us(lines, metadata.client_id if metadata is not None else None):
            raise ReplyError("NOPERM 'client|list' is empty or without this connection")
        return count_workers(lines, self._names, metadata.db if metadata is not None else 0)


def greatest(lists: Iterable[Mapping[Queue, WorkerCount]]) -> dict[Queue, WorkerCount]:
    """The most workers of each queue that one node of a cluster sees.

    A worker's connections may be on more than one node, under the same name, so a sum would count
    it twice.
    """
    most: dict[Queue, WorkerCount] = {}
    for queue, count in chain.from_iterable(counts.items() for counts in lists):
        other = most.get(queue, count)
        most[queue] = WorkerCount(max(count.total, other.total), max(count.idle, other.idle))
    return most


def count_workers(lines: Iterable[bytes], names: Names, db: int) -> dict[Queue, WorkerCount]:
    """The workers in CLIENT LIST's lines that are in that database, by queue."""
    tallies: dict[Queue, _Tally] = defaultdict(_Tally)
    for line in lines:
        # most connections have no name: not worth a closer look
        if b" name= " in line:
            continue
        fields = dict(_FIELDS.findall(line))
        if fields.get(b"db") != b"%d" % db:
            continue
        found = _queue_of(fields.get(b"name", b""), names)
        if found is not None:
            _tally(tallies[found[0]], fields, node=found[1])
    return {queue: tally.count() for queue, tally in tallies.items()}


def _queue_of(name: bytes, names: Names) -> tuple[Queue, bool] | None:
    """The queue of a connection's name, and whether the spelling is Node's."""
    found, end = names.get(name), len(name)
    while found is None and (end := name.rfind(WORKER_SUFFIX, 0, end)) > 0:
        found = names.get(name[:end])
    return found


def names_of(queues: Iterable[Queue]) -> Names:
    """Both spellings of every queue."""
    names: Names = {}
    for queue in queues:
        node, python = worker_names(queue)
        names.setdefault(python, (queue, False))
        names[node] = (queue, True)
    return names


def _tally(tally: _Tally, fields: dict[bytes, bytes], *, node: bool) -> None:
    """`b` among the flags: blocked, which is a worker with a free slot that waits for work."""
    idle = b"b" in fields.get(b"flags", b"")
    if node:
        tally.node += 1
        tally.node_idle += idle
    elif fields.get(b"cmd") in BLOCKING_COMMANDS:
        tally.python_blocking += 1
        tally.python_idle += idle
    else:
        tally.python_other += 1


def _lists_us(lines: list[bytes], client_id: int | None) -> bool:
    if client_id is None:
        return bool(lines)
    return any(line.startswith(b"id=%d " % client_id) for line in lines)
