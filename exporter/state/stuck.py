"""Jobs that will not go on by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class StuckKind(StrEnum):
    """Why a job does not go on."""

    PARENT = "parent"
    """A flow's parent waits for children of which none will finish."""
    ACTIVE = "active"
    """An active job that no worker holds and that no worker puts back."""
    SCHEDULER = "scheduler"
    """A scheduler whose next job is gone, so that it never runs again."""
    DEDUPLICATION = "deduplication"
    """A deduplication ID that a job holds which is gone or finished: adds are ignored."""
    DELAYED = "delayed"
    """A delayed job that is due, and that no worker promotes."""
    PRIORITY = "priority"
    """A prioritized job that newer, more urgent ones overtake."""
    POISON = "poison"
    """A job that stalls or fails again and again, and is delivered again each time."""


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job, a scheduler or a deduplication ID that two looks have found stuck."""

    kind: StuckKind
    id: str
    """Of the job or the scheduler, or the deduplication ID; truncated."""
    since: float | None
    """Unix time in seconds since when it waits, runs or is due; None if unknown."""
    proof: str
    """What was found in Redis."""


StuckJobs = tuple[StuckJob, ...]


@dataclass(frozen=True, slots=True)
class LookTotals:
    """The looks at jobs that may be stuck, since the start."""

    redis_seconds: float = 0.0
    """Redis' time for their commands, by what these take as measured."""
    cut: int = 0
    """Looks that were put off because the budget was used up."""


NO_LOOKS: Final = LookTotals()
