"""Counts workers with one CLIENT LIST for all queues of a database.

A worker may exist without being listed: CLIENT SETNAME refuses spaces and non-ASCII characters, so
a worker whose name contains them has no connection name. The number of workers is unknown if the
provider refuses CLIENT LIST or returns an empty list, and on a replica, where no worker connects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Final, TypeVar

from exporter.bullmq import Queue
from exporter.collectors.contract import CommandErrors, Context, Scope
from exporter.collectors.workers.count import count_workers
from exporter.collectors.workers.names import WorkerNames
from exporter.connection import Client, Command, ReplyError, expect_string
from exporter.state.workers import WorkerCount, WorkerFacts

CLIENT_LIST: Final = Command(
    "CLIENT LIST",
    probe=(),
    reply=bytes,
    cost="bullmq_queue_workers; worker liveness is less certain",
    large=True,
)

_MAX_LINE_BYTES: Final = 8192
"""A longer line of CLIENT LIST is skipped: anyone who may connect chooses the length of its name,
and a worker's is its queue's, `:w:` and a short name."""


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
        clients = context.client.nodes
        nodes = [self._count(node, context.errors, len(clients)) for node in clients]
        if len(nodes) == 1:
            return nodes[0]
        return WorkerFacts(
            maximum_by_queue(node.counts for node in nodes),
            max((node.unnamed for node in nodes), default=0),
            maximum_by_queue(node.elsewhere for node in nodes),
        )

    def _count(self, node: Client, errors: CommandErrors, nodes: int) -> WorkerFacts:
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
        return count_workers(
            usable,
            self._names,
            metadata.db if metadata is not None else 0,
            nodes=nodes,
        )


Key = TypeVar("Key", Queue, tuple[str, str])


def maximum_by_queue(nodes: Iterable[Mapping[Key, WorkerCount]]) -> dict[Key, WorkerCount]:
    """For each queue, the maximum number of workers that one cluster node lists.

    A worker may be connected to several nodes under the same name, so a sum would count it more
    than once.
    """
    maximum: dict[Key, WorkerCount] = {}
    for queue, count in chain.from_iterable(counts.items() for counts in nodes):
        other = maximum.get(queue, count)
        # the node with the queue's keys is that on which workers wait
        fuller = max(count, other, key=lambda each: (each.idle, each.total))
        maximum[queue] = replace(
            fuller, total=max(count.total, other.total), idle=max(count.idle, other.idle)
        )
    return maximum


def _lists_own_connection(lines: list[bytes], client_id: int | None) -> bool:
    if client_id is None:
        return bool(lines)
    return any(line.startswith(b"id=%d " % client_id) for line in lines)
