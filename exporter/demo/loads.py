"""What goes through the demo's queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class JobKind:
    """Jobs of one name."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """BullMQ's job options."""


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A BullMQ job scheduler."""

    name: str
    """Of the scheduler and of its jobs."""
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Flow:
    """Parent jobs, each of which waits for its children in another queue."""

    name: str
    every_seconds: float
    """Mean time between two flows."""
    child: str
    """The name of a child."""
    child_queue: str
    children: int


@dataclass(frozen=True, slots=True)
class Load:
    """What goes through a queue, and who works on it."""

    queue: str
    work_seconds: float
    """Mean time that an attempt takes."""
    concurrency: int
    """Jobs that the queue's worker runs at a time."""
    worker: str = "main"
    """The worker process that listens to the queue."""
    kinds: tuple[JobKind, ...] = ()
    """They take turns."""
    every_seconds: float = 1.0
    """Mean time between two of these jobs."""
    retried: float = 0.0
    """Share of them whose first attempt fails, where their options allow another."""
    failing: float = 0.0
    """Share of them that fail for good."""
    backlog: int = 0
    """How many are there when it begins."""
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
"""Every queue well within what its worker can do."""


def healthy_but(queue: str, **changes: Any) -> tuple[Load, ...]:
    """The healthy loads with changes to one queue's. Raises `TypeError` for an unknown field."""
    return tuple(replace(load, **changes) if load.queue == queue else load for load in HEALTHY)
