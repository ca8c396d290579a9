"""Connected workers, as CLIENT LIST describes their connections, and what is odd about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from exporter.bullmq import Queue

QUIET_SECONDS: Final = 60
"""A connection that neither waits for jobs nor has sent a command for this long is quiet. Workers
wait again after 10 s at most, and sleep 30 s at most when they are rate limited."""


@dataclass(frozen=True, slots=True)
class Worker:
    """The connection on which a worker waits for jobs."""

    name: str
    """The worker's own name; empty if it has none."""
    address: str
    """Its host and port, as the server sees them."""
    client: str
    """Its Redis client with the version, `ioredis 5.11.1`; empty if unknown. It is not BullMQ's
    version, which no connection shows."""
    connected_seconds: int
    idle_seconds: int
    """Since its last command. Of a worker without a free slot it only grows: such a worker takes
    jobs on another connection, which has no name."""
    command: str
    """Its last command."""
    waiting: bool
    """Whether it waits for a job, so that the worker has a free slot."""


@dataclass(frozen=True, slots=True)
class WorkerCount:
    """The workers of a queue, counted by their connections in CLIENT LIST."""

    total: int
    idle: int
    """Workers with a free slot, blocked waiting for jobs. The others are busy or hang."""
    quiet: int = 0
    """Workers of which the connection has been quiet for `QUIET_SECONDS`: all their slots are busy,
    or they hang."""
    clients: tuple[tuple[str, str, int], ...] = ()
    """Redis clients of the workers that report one: name, version and number, sorted."""
    examples: tuple[Worker, ...] = ()
    """Some of the workers, the quiet ones rather than others."""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """The workers of all queues that have any."""

    counts: Mapping[Queue, WorkerCount]
    unnamed: int = 0
    """Connections without a usable name that block in a command in which idle workers wait."""
    elsewhere: Mapping[tuple[str, str], WorkerCount] = field(default_factory=dict)
    """Workers of queues that are not watched, by prefix and name; at most a hundred."""

    def of(self, queue: Queue) -> WorkerCount:
        """The workers of a queue; zero if it is not listed."""
        return self.counts.get(queue, _NO_WORKERS)


_NO_WORKERS: Final = WorkerCount(0, 0)


class WorkerOddity(StrEnum):
    """What is odd about the workers of a queue."""

    SILENT = "silent"
    """Workers that neither wait for jobs nor work on one, while others of the queue do."""
    VERSIONS = "versions"
    """Workers whose Redis clients have different versions."""


@dataclass(frozen=True, slots=True)
class OddWorkers:
    """Workers of a queue that differ from the others."""

    oddity: WorkerOddity
    proof: str
    """What CLIENT LIST and the queue show."""
