"""Counts and describes workers by the lines of CLIENT LIST. Pure."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final

from exporter.bullmq import BLOCKING_COMMANDS, Queue, queue_of_worker
from exporter.collectors.workers.names import WorkerNames, own_name
from exporter.parsing import id_text, is_digits
from exporter.state.workers import QUIET_SECONDS, Worker, WorkerCount, WorkerFacts

_MAX_ELSEWHERE: Final = 100
"""Number of queues that are not watched of which workers are counted."""
MAX_EXAMPLES: Final = 10
"""Workers of a queue that are described."""
_MAX_ALL_EXAMPLES: Final = 20_000
"""The same for all watched queues together: at about 250 bytes each, 5 MB."""
_MAX_CLIENTS: Final = 10
"""Redis clients of a queue's workers that are distinguished."""


@dataclass(slots=True)
class _Tally:
    """Connections of one queue's workers, by implementation."""

    node: int = 0
    node_idle: int = 0
    python_blocking: int = 0
    python_idle: int = 0
    python_other: int = 0
    quiet: int = 0
    clients: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    """Connections on which workers wait for jobs, by name and version of the Redis client."""
    quiet_lines: list[tuple[bytes, bool]] = field(default_factory=list)
    """The first such connections that are quiet: the line, and whether it is a Node worker."""
    other_lines: list[tuple[bytes, bool]] = field(default_factory=list)

    def count(self, queue: Queue | None = None, examples: int = 0) -> WorkerCount:
        """The numbers, with that many examples.

        A Node worker has one named connection; a Python worker has two, one of which blocks.
        """
        lines = islice(chain(self.quiet_lines, self.other_lines), examples)
        return WorkerCount(
            self.node + max(self.python_blocking, self.python_other),
            self.node_idle + self.python_idle,
            self.quiet,
            tuple(sorted((_text(name), _text(version), n) for (name, version), n in self._known())),
            ()
            if queue is None
            else tuple(
                sorted(
                    (_worker(line, queue, node=node) for line, node in lines),
                    key=lambda worker: (worker.name, worker.address),
                )
            ),
        )

    def _known(self) -> Iterator[tuple[tuple[bytes, bytes], int]]:
        """The clients that report name and version."""
        return (each for each in self.clients.items() if all(each[0]))


def count_workers(
    lines: Iterable[bytes], names: WorkerNames, db: int, *, nodes: int = 1
) -> WorkerFacts:
    """The workers in that database, from the lines of CLIENT LIST.

    If there are several `nodes`, a worker may also be connected to one on which it never waits for
    jobs.
    """
    examples = max(1, min(MAX_EXAMPLES, _MAX_ALL_EXAMPLES // max(1, names.queues)))
    tallies: dict[Queue, _Tally] = defaultdict(_Tally)
    elsewhere: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    database, unnamed = b"%d" % db, 0
    for line in lines:
        name = _value(line, b" name=")
        if not name:
            # the cheapest test first: most connections have no name
            if _value(line, b" cmd=") in BLOCKING_COMMANDS and _value(line, b" db=") == database:
                unnamed += b" name=" in line
            continue
        if _value(line, b" db=") != database:
            continue
        worker = names.find(name)
        if worker is not None:
            queue, node = worker
            _tally(tallies[queue], line, examples, node=node, one_node=nodes == 1)
        elif (other := queue_of_worker(name)) is not None and (
            other in elsewhere or len(elsewhere) < _MAX_ELSEWHERE
        ):
            _tally(elsewhere[other], line, 0, node=True, one_node=nodes == 1)
    return WorkerFacts(
        {queue: tally.count(queue, examples) for queue, tally in tallies.items()},
        unnamed,
        {other: tally.count() for other, tally in elsewhere.items()},
    )


def _tally(tally: _Tally, line: bytes, examples: int, *, node: bool, one_node: bool) -> None:
    """Add a connection. The flag `b` (blocked): the worker has a free slot and waits for jobs."""
    waiting = b"b" in _value(line, b" flags=")
    blocks = _value(line, b" cmd=") in BLOCKING_COMMANDS
    if node:
        tally.node += 1
        tally.node_idle += waiting
    elif blocks:
        tally.python_blocking += 1
        tally.python_idle += waiting
    else:
        tally.python_other += 1
        return
    client = _client(line)
    known = tally.clients.get(client, 0)
    if known or len(tally.clients) < _MAX_CLIENTS:
        tally.clients[client] = known + 1
    if not waiting and (blocks or one_node) and _number(line, b" idle=") >= QUIET_SECONDS:
        tally.quiet += 1
        if len(tally.quiet_lines) < examples:
            tally.quiet_lines.append((line, node))
    elif len(tally.other_lines) < examples:
        tally.other_lines.append((line, node))


def _worker(line: bytes, queue: Queue, *, node: bool) -> Worker:
    client = _client(line)
    return Worker(
        name=_text(own_name(_value(line, b" name="), queue, node=node)),
        address=id_text(_value(line, b" addr=")),
        client=_text(b" ".join(client)) if all(client) else "",
        connected_seconds=_number(line, b" age="),
        idle_seconds=_number(line, b" idle="),
        command=_text(_value(line, b" cmd=")),
        waiting=b"b" in _value(line, b" flags="),
    )


def _client(line: bytes) -> tuple[bytes, bytes]:
    """Name and version of the Redis client; empty if it reports none."""
    name, _, rest = line.partition(b" lib-name=")[2].partition(b" ")
    version = rest[len(b"lib-ver=") :] if rest.startswith(b"lib-ver=") else b""
    return name, version.partition(b" ")[0]


def _value(line: bytes, field: bytes) -> bytes:
    """The value of a field, given as ` name=`; empty if it is missing. No value has blanks."""
    return line.partition(field)[2].partition(b" ")[0]


def _number(line: bytes, field: bytes) -> int:
    """The value of a field that is a number; 0 if it is missing or none."""
    value = _value(line, field)
    return int(value) if is_digits(value) else 0


def _text(value: bytes) -> str:
    return sys.intern(id_text(value))
