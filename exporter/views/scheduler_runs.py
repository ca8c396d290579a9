"""The schedulers of a queue as people see them: when each runs next, or why it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.state.schedulers import FirstSchedulers, SchedulerState
from exporter.views.formatting import UNKNOWN, age

_PROOFS: Final = {
    SchedulerState.SCHEDULED: "",
    SchedulerState.LATE: "no worker has started its next job",
    SchedulerState.FINISHED: "its limit or its end is reached, and its last job was started",
    SchedulerState.DEAD: "its next job does not exist",
    SchedulerState.UNKNOWN: "it is not known yet whether it is late, finished or dead",
}


@dataclass(frozen=True, slots=True)
class SchedulerView:
    """A scheduler and its next run."""

    id: str
    state: str
    """scheduled, late, finished, dead or unknown."""
    due: float | None
    """Unix time in seconds of the next run; of a finished scheduler, the last one. None if it is
    no date."""
    proof: str
    """What was found in Redis; empty if its time has not come."""

    def text(self, now: float) -> str:
        """When it runs, at that Unix time, or why it does not."""
        if self.state == SchedulerState.SCHEDULED:
            left = UNKNOWN if self.due is None else age(max(0.0, self.due - now))
            return "next run now" if left in ("-", "0s") else f"next run in {left}"
        if self.state == SchedulerState.FINISHED:
            return f"finished: {self.proof}"
        since = UNKNOWN if self.due is None else age(now - self.due)
        state = "due" if self.state == SchedulerState.UNKNOWN else self.state
        return f"{state} for {since}: {self.proof}"


def scheduler_views(first: FirstSchedulers | None) -> tuple[SchedulerView, ...]:
    """The schedulers whose time comes first."""
    return tuple(
        SchedulerView(run.id, run.state.value, run.due, _PROOFS[run.state])
        for run in (first.runs() if first is not None else ())
    )
