"""Jobs that one look found stuck, until another look confirms or refutes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from exporter.bullmq import Queue
from exporter.collectors.queues.looks import LOOK_SECONDS
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.subject import Subject
from exporter.connection import Reply
from exporter.parsing import is_digits
from exporter.state.event_suspects import EventSuspects
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckJob, StuckJobs, StuckKind

MAX_SUSPECTS: Final = 10
"""Maximum number of suspects of a queue and kind, and so of examples."""


class Suspect(NamedTuple):
    """A job that looks stuck."""

    job: StuckJob
    since: float
    """Monotonic time of the first look that found it stuck."""
    confirmed: bool = False


class Suspects:
    """The suspects of one queue and one kind, by ID. Immutable."""

    __slots__ = ("_by_id",)

    def __init__(self, by_id: Mapping[bytes, Suspect]) -> None:
        self._by_id = by_id

    @property
    def ids(self) -> list[bytes]:
        """The IDs to look at again."""
        return list(self._by_id)

    @property
    def stuck(self) -> StuckJobs:
        """The jobs that are known to be stuck, the first suspected first."""
        return tuple(suspect.job for suspect in self._by_id.values() if suspect.confirmed)

    def is_stuck(self, job: bytes) -> bool:
        """Whether that job is known to be stuck."""
        suspect = self._by_id.get(job)
        return suspect is not None and suspect.confirmed

    def after(
        self,
        found: Mapping[bytes, StuckJob],
        cleared: set[bytes],
        now: float,
        confirm_seconds: float,
    ) -> Suspects:
        """The suspects after a look that found some stuck and cleared others.

        A suspect that was not looked at remains. One that is found again is confirmed if the first
        look was at least `confirm_seconds` ago.
        """
        kept = {job: each for job, each in self._by_id.items() if job not in cleared}
        for job, stuck in found.items():
            before = kept.get(job)
            if before is not None:
                confirmed = before.confirmed or now - before.since >= confirm_seconds
                kept[job] = Suspect(stuck, before.since, confirmed)
            elif len(kept) < MAX_SUSPECTS:
                kept[job] = Suspect(stuck, now)
        return Suspects(kept) if kept else NO_SUSPECTS


NO_SUSPECTS: Final = Suspects({})
_NOT_LOOKED: Final = -1
"""No number of events."""
MAX_NEW: Final = 3
"""Maximum number of jobs that are not suspected yet and that a look takes."""


def unix_seconds(field: Reply) -> float | None:
    """A time in a job's hash as Unix time in seconds; None if it is not set, or not a number."""
    return float(field) / 1000 if is_digits(field) else None


class LookingSubject(Subject):
    """Looks at queues in turn, as far as the budget allows."""

    kind: ClassVar[str]

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        self._next_row = 0
        self._owed: set[int] = set()
        """Where looks were put off, and whose turn it is. Not kept if the set of queues changes:
        then every row has its turn by the rotation."""

    def due(self, poll: BatchPoll, seconds: float = LOOK_SECONDS) -> Sequence[int]:
        """The rows to look at in this poll: those that are due, and those put off before."""
        rows = poll.rotation.due(len(self.queues), seconds)
        return sorted(self._owed.union(rows)) if self._owed else rows

    def affordable(self, poll: BatchPoll, rows: list[int], microseconds: float) -> list[int]:
        """The rows at which the budget allows a look of about that length; the rest is put off."""
        count = poll.looks.grant(self.kind, len(rows), microseconds)
        if count == len(rows):
            self._owed.clear()
            return rows
        place = next((place for place, row in enumerate(rows) if row >= self._next_row), 0)
        in_turn = [*rows[place:], *rows[:place]]
        self._next_row, self._owed = in_turn[count], set(in_turn[count:])
        return sorted(in_turn[:count])


class StuckSubject(LookingSubject):
    """Keeps the suspects of one kind, and fills its two columns."""

    kind: ClassVar[StuckKind]
    examples: ClassVar[Column[StuckJobs]]
    number: ClassVar[Column[int]]

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        self.suspects = PerRow[Suspects](len(queues), initial=NO_SUSPECTS)
        self._stuck = PerRow[StuckJobs](len(queues), initial=())
        self._number = PerRow[int | None](len(queues), initial=None)
        self._any_suspects: bool | None = None
        """None if it is to be found out."""

    @property
    def any_suspects(self) -> bool:
        """Whether any row has suspects. Nearly always none has, and then a look is short."""
        if self._any_suspects is None:
            self._any_suspects = self.suspects.count(NO_SUSPECTS) < len(self.suspects)
        return self._any_suspects

    def note_look(
        self,
        poll: BatchPoll,
        row: int,
        found: Mapping[bytes, StuckJob],
        cleared: set[bytes],
        confirm_seconds: float = LOOK_SECONDS / 2,
    ) -> None:
        """Record which jobs of a row a look has found stuck, and which it has cleared."""
        suspects = self.suspects[row]
        if found or (cleared and suspects is not NO_SUSPECTS):
            self._record(row, suspects.after(found, cleared, poll.now, confirm_seconds))

    def clear(self, row: int) -> None:
        """Forget all suspects of a row: none of its jobs can be stuck."""
        self._record(row, NO_SUSPECTS)

    def _record(self, row: int, suspects: Suspects) -> None:
        self.suspects[row], stuck = suspects, suspects.stuck
        self._any_suspects = None
        self._stuck[row] = stuck
        if stuck or self._number[row] is not None:
            self._number[row] = len(stuck)

    def fill(self, _: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        return {self.examples: list(self._stuck), self.number: list(self._number)}


class EventStuckSubject(StuckSubject):
    """A kind whose candidates are jobs that the events make suspicious."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        self._noted = PerRow[int](len(queues), initial=0)
        """`EventSuspects.noted` at the last look."""

    def candidates(
        self,
        poll: BatchPoll,
        ids: Callable[[EventSuspects], Sequence[bytes]],
        microseconds: float,
    ) -> dict[int, list[bytes]]:
        """The IDs to look at in this poll, by row: the suspects, and the most recent new ones.

        Without new suspicious events, only suspects are looked at again. `microseconds` is Redis'
        time for one ID.
        """
        known, looked, noted = poll.times.suspects, dict[int, list[bytes]](), dict[int, int]()
        if not known and not self.any_suspects:
            return looked
        for row in self.due(poll):
            suspects = self.suspects[row]
            found = [] if suspects is NO_SUSPECTS else suspects.ids
            events = known.get(self.queues[row]) if known else None
            if events is not None and events.noted != self._noted[row]:
                noted[row] = events.noted
                found += [each for each in reversed(ids(events)) if each not in found][:MAX_NEW]
            if found:
                looked[row] = found
        if not looked:
            self._note(noted)
            return looked
        mean = microseconds * sum(map(len, looked.values())) / len(looked)
        chosen = self.affordable(poll, list(looked), mean)
        cut = looked.keys() - set(chosen)
        self._note({row: number for row, number in noted.items() if row not in cut})
        return {row: looked[row] for row in chosen}

    def look_again(self, row: int) -> None:
        """Make the row due again without another event: Redis has refused a part of the look."""
        self._noted[row] = _NOT_LOOKED

    def _note(self, noted: Mapping[int, int]) -> None:
        for row, number in noted.items():
            self._noted[row] = number
