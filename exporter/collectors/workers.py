"""Counts workers with one CLIENT LIST for all queues of a database.

A worker may exist without being listed: CLIENT SETNAME refuses spaces and non-ASCII characters, so
a worker whose name contains them has no connection name. The number of workers is unknown if the
provider refuses CLIENT LIST or returns an empty list, and on a replica, where no worker connects.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeVar

from exporter.bullmq import BLOCKING_COMMANDS, WORKER_SUFFIX, Queue, queue_of_worker, worker_names
from exporter.collectors.contract import CommandErrors, Context, Scope
from exporter.connection import Client, Command, ReplyError, expect_string
from exporter.state.snapshots import WorkerCount, WorkerFacts

CLIENT_LIST: Final = Command(
    "CLIENT LIST",
    probe=(),
    reply=bytes,
    cost="bullmq_queue_workers; worker liveness is less certain",
    large=True,
)

_WAITING: Final = re.compile(rb" cmd=(?:%s)(?: |$)" % b"|".join(sorted(BLOCKING_COMMANDS)))
_MAX_ELSEWHERE: Final = 100
"""Number of queues that are not watched of which workers are counted."""
_FIELDS: Final = re.compile(rb"(?:^| )(name|db|flags|cmd)=(\S*)")
_MAX_LINE_BYTES: Final = 8192
"""A longer line of CLIENT LIST is skipped: anyone who may connect chooses the length of its name,
and a worker's is its queue's, `:w:` and a short name."""


class WorkerNames:
    """The connection names of the workers of all queues."""

    def __init__(self, queues: Iterable[Queue]) -> None:
        self._workers: dict[bytes, tuple[Queue, bool]] = {}
        for queue in queues:
            node, python = worker_names(queue)
            self._workers.setdefault(python, (queue, False))
            self._workers[node] = (queue, True)
        self._lengths = frozenset(map(len, self._workers))
        self._longest = max(self._lengths, default=0)

    def find(self, name: bytes) -> tuple[Queue, bool] | None:
        """The queue of the worker with that connection name, and whether it is a Node worker.

        `:w:` and the worker's own name may follow the queue's; both may contain `:w:`. The longest
        queue name wins. A name is cut only at lengths that queues have, so that one of nothing but
        `:w:` costs no more than another.
        """
        found, end = self._workers.get(name), min(len(name), self._longest + 1)
        while found is None and end > 0:
            # a suffix that starts before `end`
            end = name.rfind(WORKER_SUFFIX, 0, end + len(WORKER_SUFFIX) - 1)
            if end in self._lengths:
                found = self._workers.get(name[:end])
        return found


@dataclass(slots=True)
class _Tally:
    """Connections of one queue's workers, by implementation."""

    node: int = 0
    node_idle: int = 0
    python_blocking: int = 0
    python_idle: int = 0
    python_other: int = 0

    def count(self) -> WorkerCount:
        """A Node worker has one named connection; a Python worker has two, one of which blocks."""
        python = max(self.python_blocking, self.python_other)
        return WorkerCount(self.node + python, self.node_idle + self.python_idle)


class WorkersCollector:
    """Counts the workers of every watched queue."""

    name = "workers"
    scope = Scope.DATABASE

    def __init__(self) -> None:
        self._queues: tuple[Queue, ...] = ()
        self._names = WorkerNames(())

    def collect(self, context: Context) -> WorkerFacts:
        """Workers by queue, without queues that have none. Raises `RedisFailure`."""
        if context.queues is not self._queues:
            self._queues = context.queues
            self._names = WorkerNames(context.queues)
        nodes = [self._count(node, context.errors) for node in context.client.nodes]
        if len(nodes) == 1:
            return nodes[0]
        return WorkerFacts(
            maximum_by_queue(node.counts for node in nodes),
            max((node.unnamed for node in nodes), default=0),
            maximum_by_queue(node.elsewhere for node in nodes),
        )

    def _count(self, node: Client, errors: CommandErrors) -> WorkerFacts:
        reply = node.call(CLIENT_LIST.on(), CLIENT_LIST.limit)
        lines = expect_string(reply, "CLIENT LIST").splitlines()
        metadata = node.metadata
        if metadata is not None and metadata.role == "slave":
            raise ReplyError("NOPERM on a replica, 'client|list' does not show the workers")
        if not _lists_own_connection(lines, metadata.client_id if metadata is not None else None):
            raise ReplyError("NOPERM 'client|list' is empty or lacks this connection")
        usable = [line for line in lines if len(line) <= _MAX_LINE_BYTES]
        errors.add_oversized(
            f"skipped clients with more than {_MAX_LINE_BYTES} bytes in CLIENT LIST",
            len(lines) - len(usable),
        )
        return count_workers(usable, self._names, metadata.db if metadata is not None else 0)


Key = TypeVar("Key", Queue, tuple[str, str])


def maximum_by_queue(nodes: Iterable[Mapping[Key, WorkerCount]]) -> dict[Key, WorkerCount]:
    """For each queue, the maximum number of workers that one cluster node lists.

    A worker may be connected to several nodes under the same name, so a sum would count it more
    than once.
    """
    maximum: dict[Key, WorkerCount] = {}
    for queue, count in chain.from_iterable(counts.items() for counts in nodes):
        other = maximum.get(queue, count)
        maximum[queue] = WorkerCount(max(count.total, other.total), max(count.idle, other.idle))
    return maximum


def count_workers(lines: Iterable[bytes], names: WorkerNames, db: int) -> WorkerFacts:
    """The workers in that database, from the lines of CLIENT LIST."""
    tallies: dict[Queue, _Tally] = defaultdict(_Tally)
    elsewhere: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    database, unnamed = b"%d" % db, 0
    for line in lines:
        # fast path: most connections have no name
        if b" name= " in line:
            if _WAITING.search(line) and dict(_FIELDS.findall(line)).get(b"db") == database:
                unnamed += 1
            continue
        fields = dict(_FIELDS.findall(line))
        if fields.get(b"db") != database:
            continue
        name = fields.get(b"name", b"")
        worker = names.find(name)
        if worker is not None:
            queue, node = worker
            _tally(tallies[queue], fields, node=node)
        elif (other := queue_of_worker(name)) is not None and (
            other in elsewhere or len(elsewhere) < _MAX_ELSEWHERE
        ):
            _tally(elsewhere[other], fields, node=True)
    return WorkerFacts(
        {queue: tally.count() for queue, tally in tallies.items()},
        unnamed,
        {other: tally.count() for other, tally in elsewhere.items()},
    )


def _tally(tally: _Tally, fields: dict[bytes, bytes], *, node: bool) -> None:
    """Add a connection. The flag `b` (blocked): the worker has a free slot and waits for jobs."""
    idle = b"b" in fields.get(b"flags", b"")
    if node:
        tally.node += 1
        tally.node_idle += idle
    elif fields.get(b"cmd") in BLOCKING_COMMANDS:
        tally.python_blocking += 1
        tally.python_idle += idle
    else:
        tally.python_other += 1


def _lists_own_connection(lines: list[bytes], client_id: int | None) -> bool:
    if client_id is None:
        return bool(lines)
    return any(line.startswith(b"id=%d " % client_id) for line in lines)
