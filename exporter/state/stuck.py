"""Jobs that will not go on by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StuckKind(StrEnum):
    """Why a job does not go on."""

    PARENT = "parent"
    """A flow's parent waits for children of which none will finish."""
    ACTIVE = "active"
    """An active job that no worker holds and that no worker puts back."""
    SCHEDULER = "scheduler"
    """A scheduler whose next job is gone, so that it never runs again."""


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job, or a scheduler, that two looks have found stuck."""

    kind: StuckKind
    id: str
    """Of the job or the scheduler, truncated."""
    since: float | None
    """Unix time in seconds since when it waits, runs or is due; None if unknown."""
    proof: str
    """What was found in Redis."""


StuckJobs = tuple[StuckJob, ...]
