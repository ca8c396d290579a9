"""Judges the jobs of a queue, and its time, by its SLOs. Pure.

Events alone are not enough: while nothing is started, no event is late, and the share of jobs in
time stays perfect. So each SLO has two indicators, and the rules take the worse one:

- jobs: of those that were started (or ended), how many took longer than the target;
- time: for how long a job has been beyond the target while none was started (or ended).

Time in which a queue gets on is not late, however long the oldest job waits: its jobs are judged
one by one, and a single straggler of thousands must not use up the whole budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporter.config.models import Slo
from exporter.state.snapshots import NOT_JUDGED, SloCounts, SloFacts

_DIGITS: Final = 3
"""Of counted seconds: milliseconds."""


class QueueSlos:
    """The SLOs of one queue, and how it has met them."""

    def __init__(self, slos: Sequence[Slo]) -> None:
        self._started = [_Judge(slo) for slo in slos if slo.start_within is not None]
        self._ended = [_Judge(slo) for slo in slos if slo.run_within is not None]
        self._shown = False

    def started(self, ms: float | None) -> None:
        """A job was started after it was ready for `ms`; None if that was not seen."""
        for judge in self._started:
            judge.judge(ms)

    def ended(self, ms: float | None) -> None:
        """A run ended, however it ended, after `ms`; None if its start was not seen."""
        for judge in self._ended:
            judge.judge(ms)

    def advance(
        self, seconds: float, waiting: float | None, overdue: float | None, active: float | None
    ) -> None:
        """Count the time since the last call, at whose end the oldest jobs have these ages.

        `waiting` and `overdue` are those of ready and of due delayed jobs: both could start.
        """
        for judge in self._started:
            judge.advance(seconds, (waiting, overdue))
        for judge in self._ended:
            judge.advance(seconds, (active,))

    def skip(self) -> None:
        """The time since the last call is unknown: it counts neither as late nor as in time."""
        for judge in (*self._started, *self._ended):
            judge.moved = False

    def facts(self) -> tuple[SloFacts, ...]:
        """The counts so far; 0 at the first call, because an increase needs an earlier sample."""
        judges = (*self._started, *self._ended)
        before, self._shown = self._shown, True
        return tuple(judge.facts(judge.counts() if before else NOT_JUDGED) for judge in judges)


class _Judge:
    """One SLO of a queue."""

    __slots__ = ("_jobs", "_late_jobs", "_late_seconds", "_limit_ms", "_seconds", "_slo", "moved")

    def __init__(self, slo: Slo) -> None:
        self._slo = slo
        self._limit_ms = slo.target_seconds * 1000
        self._jobs = self._late_jobs = 0
        self._seconds = self._late_seconds = 0.0
        self.moved = False
        """Whether a job was started, or ended, since the last call of `advance`."""

    def judge(self, ms: float | None) -> None:
        self.moved = True
        if ms is not None:
            self._jobs += 1
            self._late_jobs += ms > self._limit_ms

    def advance(self, seconds: float, ages: Sequence[float | None]) -> None:
        known = [age for age in ages if age is not None]
        beyond = max(known, default=0.0) - self._slo.target_seconds
        moved, self.moved = self.moved, False
        if moved or beyond > 0 or len(known) == len(ages):
            self._seconds += seconds
        if not moved and beyond > 0:
            self._late_seconds += min(seconds, beyond)

    def counts(self) -> SloCounts:
        return SloCounts(
            self._jobs,
            self._late_jobs,
            round(self._seconds, _DIGITS),
            round(self._late_seconds, _DIGITS),
        )

    def facts(self, counts: SloCounts) -> SloFacts:
        slo = self._slo
        return SloFacts(slo.label, slo.objective_ratio, slo.target_seconds, counts)
