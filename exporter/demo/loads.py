"""The load on the demo's queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class JobKind:
    """Jobs with one name."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """BullMQ's job options."""


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A BullMQ job scheduler."""

    name: str
    """Name of the scheduler and of its jobs."""
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Flow:
    """Parent jobs that each wait for child jobs in another queue."""

    name: str
    every_seconds: float
    """Mean time between two flows."""
    child: str
    """Job name of the children."""
    child_queue: str
    children: int


@dataclass(frozen=True, slots=True)
class Load:
    """The jobs of a queue, and the worker that processes them."""

    queue: str
    work_seconds: float
    """Mean duration of an attempt."""
    concurrency: int
    """Jobs that the queue's worker processes at the same time."""
    worker: str = "main"
    """The worker process of the queue."""
    kinds: tuple[JobKind, ...] = ()
    """Kinds of jobs, added in turn."""
    every_seconds: float = 1.0
    """Mean time between two jobs."""
    retried: float = 0.0
    """Share of jobs whose first attempt fails, if their options allow another."""
    failing: float = 0.0
    """Share of jobs that fail permanently."""
    backlog: int = 0
    """Number of jobs at the start."""
    scheduler: Scheduler | None = None
    flow: Flow | None = None


_RETRY: Final = {"attempts": 3, "backoff": {"type": "fixed", "delay": 1000}}

HEALTHY: Final = (
    Load(
        "emails",
        kinds=(
            JobKind("welcome"),
            JobKind("receipt", {"removeOnComplete": True}),
            JobKind("reminder", {"delay": 3000}),
        ),
        every_seconds=0.3,
        work_seconds=0.15,
        concurrency=6,
    ),
    Load(
        "images",
        kinds=(JobKind("thumbnail", {"priority": 5}), JobKind("avatar", {"priority": 1})),
        every_seconds=0.8,
        work_seconds=0.3,
        concurrency=8,
    ),
    Load(
        "albums",
        flow=Flow("album", every_seconds=5, child="photo", child_queue="images", children=3),
        work_seconds=0.2,
        concurrency=3,
    ),
    Load(
        "payments",
        kinds=(JobKind("charge", _RETRY), JobKind("refund", _RETRY)),
        every_seconds=0.6,
        work_seconds=0.2,
        concurrency=5,
        retried=0.04,
        failing=0.007,
    ),
    Load(
        "reports",
        worker="reports",
        kinds=(JobKind("invoice", _RETRY), JobKind("statement", {**_RETRY, "delay": 2000})),
        every_seconds=1.2,
        work_seconds=0.8,
        concurrency=6,
        retried=0.15,
        scheduler=Scheduler("summary", every_seconds=6),
    ),
)
"""Loads well below the capacity of each queue's worker."""


def healthy_but(queue: str, **changes: Any) -> tuple[Load, ...]:
    """The healthy loads with changes to one queue. Raises `TypeError` for an unknown field."""
    return tuple(replace(load, **changes) if load.queue == queue else load for load in HEALTHY)
