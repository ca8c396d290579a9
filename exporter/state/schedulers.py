"""The schedulers of a queue whose time comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from exporter.parsing import finite, id_text

MAX_SCHEDULERS: Final = 10
"""Maximum number of schedulers of a queue that are shown."""
_MAX_DUE_MS: Final = 8.64e15
"""The last date of JavaScript."""


class SchedulerState(StrEnum):
    """What becomes of a scheduler."""

    SCHEDULED = "scheduled"
    """Its time has not come."""
    LATE = "late"
    """Its time has passed, and no worker has started its next job."""
    FINISHED = "finished"
    """It has reached its limit or its end, and keeps its last time."""
    DEAD = "dead"
    """Its next job is gone, so that it never runs again."""
    UNKNOWN = "unknown"
    """Its time has passed; whether it is late, finished or dead has not been read."""


@dataclass(frozen=True, slots=True)
class SchedulerRun:
    """The next run of a scheduler, or the last one of a finished scheduler."""

    id: str
    """Truncated."""
    state: SchedulerState
    due: float | None
    """Unix time in seconds; None if it is no date."""


@dataclass(frozen=True, slots=True)
class FirstSchedulers:
    """Up to `MAX_SCHEDULERS` schedulers, as they were read: those of most queues are not shown."""

    scored: Sequence[bytes]
    """Each ID and its time in Unix ms, the earliest first."""
    overdue: Mapping[bytes, SchedulerState]
    """Those whose time has passed by the server's clock."""

    def runs(self) -> tuple[SchedulerRun, ...]:
        """The run of each, the earliest first."""
        return tuple(
            SchedulerRun(
                id_text(scheduler),
                self.overdue.get(scheduler, SchedulerState.SCHEDULED),
                _seconds(finite(score)),
            )
            for scheduler, score in zip(self.scored[::2], self.scored[1::2], strict=True)
        )


def _seconds(due_ms: float | None) -> float | None:
    return None if due_ms is None or abs(due_ms) > _MAX_DUE_MS else due_ms / 1000
