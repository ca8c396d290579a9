"""Finds the queue that is meant: by its name, with prefix and connection where necessary."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.bullmq import Queue
from exporter.diagnosis import Database
from exporter.diagnosis.names import alike
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered
from exporter.views.moment import Moment
from exporter.views.parameters import QueryError, check_parameters

_MAX_SIMILAR: Final = 10
_MAX_COMPARED: Final = 20_000
"""Names that are compared letter by letter; that of one takes some microseconds."""

QueueKey = tuple[str, str, str]
"""Connection, prefix and name."""


@dataclass(frozen=True, slots=True)
class QueueQuery:
    """Which queue is meant; prefix and connection may be empty."""

    name: str
    prefix: str = ""
    connection: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, str], *others: str) -> QueueQuery:
        """Parse the query string; `others` are further parameters. Raises `QueryError`.

        The name may be in `name` or in `queue`.
        """
        check_parameters(parameters, ("connection", "prefix", "name", "queue", *others))
        name = parameters.get("name") or parameters.get("queue") or ""
        if not name:
            raise QueryError("name: the name of a queue is required")
        return cls(name, parameters.get("prefix", ""), parameters.get("connection", ""))


@dataclass(frozen=True, slots=True)
class Found:
    """The queues that may be meant: the one, several, or none."""

    queues: tuple[tuple[Database, int], ...]
    """Each as a row of its database."""
    unread: tuple[str, ...]
    """The connections of which no queues are known now, so that it may be one of theirs."""

    @property
    def one(self) -> tuple[Database, int] | None:
        """The only queue; None if there are several, or none."""
        return self.queues[0] if len(self.queues) == 1 else None

    def keys(self) -> list[QueueKey]:
        """Connection, prefix and name of each."""
        return [key_of(database, row) for database, row in self.queues]


def key_of(database: Database, row: int) -> QueueKey:
    """Connection, prefix and name of a queue."""
    queue = database.table.queues[row]
    return (database.connection, queue.prefix, queue.name)


def find_queue(moment: Moment, query: QueueQuery) -> Found:
    """The queues that match. A connection may be any that reaches their keyspace."""
    owner = moment.owners.get(query.connection, query.connection)
    queues = tuple(
        (database, row)
        for database in moment.databases
        if owner in ("", database.connection)
        for row in _named(database.table.queues, query.name)
        if query.prefix in ("", database.table.queues[row].prefix)
    )
    owners = {moment.owners.get(name, name) for name in moment.config.connections}
    asked = owners & {owner} if owner else owners
    return Found(queues, tuple(sorted(name for name in asked if not _is_read(moment, name))))


def _named(queues: Sequence[Queue], name: str) -> list[int]:
    """The rows of the queues with that name; a list, because that takes half the time."""
    return [row for row, queue in enumerate(queues) if queue.name == name]


def _is_read(moment: Moment, owner: str) -> bool:
    """Whether all queues of a connection that reads a keyspace are known."""
    snapshot = moment.known.get(owner)
    if snapshot is None or moment.facts(snapshot, QueueTable) is None:
        return False
    discovery = snapshot.reports.get("discovery")
    refused = discovery is not None and discovery.not_available
    return bool(refused) or moment.facts(snapshot, Discovered) is not None


def similar_queues(moment: Moment, query: QueueQuery) -> list[QueueKey]:
    """Queues that may have been meant by a name that does not exist, the most similar first."""
    every = list(_every(moment))
    plain = alike(query.name)
    same = [key for key in every if key[2] == query.name or alike(key[2]) == plain]
    parts = [key for key in every if plain and plain in alike(key[2])]
    names = sorted({key[2] for key in every[:_MAX_COMPARED]})
    close = difflib.get_close_matches(query.name, names, n=_MAX_SIMILAR, cutoff=0.6)
    near = [key for name in close for key in every if key[2] == name]
    return list(dict.fromkeys([*same, *near, *parts]))[:_MAX_SIMILAR]


def _every(moment: Moment) -> Iterator[QueueKey]:
    for database in moment.databases:
        for row in range(len(database.table.queues)):
            yield key_of(database, row)
