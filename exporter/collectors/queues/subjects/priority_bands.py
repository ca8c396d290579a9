"""Prioritized jobs by band of priorities: which of them wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import PRIORITY_BAND, Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, question
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects.events_stream import EventsMark, EventsStream
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED_JOBS
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply
from exporter.state.queue_table import Column

_STARTS: Final = (1, 11, 101, 1001, 10001)
"""The most urgent priority of each band; none of BullMQ's is more urgent than 1."""


_ENDS: Final = (*(start - 1 for start in _STARTS[1:]), None)
PRIORITY_BANDS: Final[Mapping[str, Column[int]]] = {
    f"{start}-{end}" if end else f"{start}+": Column(f"priority_jobs_from_{start}")
    for start, end in zip(_STARTS, _ENDS, strict=True)
}
"""The number of jobs in each band; None without prioritized jobs, or if it is unknown."""

_NUMBERS: Final = tuple(
    Command(
        "ZCOUNT",
        "prioritized",
        (start * PRIORITY_BAND, (end + 1) * PRIORITY_BAND - 1 if end else "+inf"),
        cost="bullmq_queue_priority_jobs",
    )
    for start, end in zip(_STARTS, _ENDS, strict=True)
)


class PriorityBands(Subject):
    """Counts the jobs of each band: at once when a queue gets prioritized jobs, then in rotation,
    unless the events prove that nothing has happened."""

    commands = _NUMBERS
    columns = tuple(PRIORITY_BANDS.values())

    def __init__(self, queues: Sequence[Queue], settings: Settings, events: EventsStream) -> None:
        super().__init__(queues)
        self._settings = settings
        self._events = events
        self._ask_numbers = RowCommands(queues, *_NUMBERS)
        self._numbers = PerRow[Sequence[int | None]](len(queues), initial=())
        """The number of jobs in each band; empty if the queue has no prioritized jobs."""
        self._marks = PerRow[EventsMark | None](len(queues), initial=None)
        """The mark of the events when the numbers were last read."""
        self._unmarked: set[int] | None = None
        """The rows of which the numbers were read without a mark; None before the first poll."""
        self._counts: Sequence[int | None] = ()
        """The number of prioritized jobs at the last completed poll."""

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        unmarked = self._unmarked_rows()

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            width = len(_NUMBERS)
            for place, row in enumerate(asked):
                self._numbers[row] = replies[place * width : (place + 1) * width]
                mark = self._marks[row] = self._events.marks[row]
                if mark is None:
                    unmarked.add(row)
                else:
                    unmarked.discard(row)

        counts = poll.counts[PRIORITIZED_JOBS]
        asked = {row for row in self._settings.due if counts[row] and self._may_differ(row)}
        if counts != self._counts:
            for row, (count, numbers) in enumerate(zip(counts, self._numbers, strict=True)):
                if bool(count) != bool(numbers):
                    (asked.add if count else self._forget)(row)
        # without a mark at the last time, count once more, to know that it stays so
        asked.update(row for row in unmarked if self._events.marks[row] is not None)
        return [question(sorted(asked), self._ask_numbers, take)]

    def _unmarked_rows(self) -> set[int]:
        if self._unmarked is None:
            known = enumerate(zip(self._numbers, self._marks, strict=True))
            self._unmarked = {row for row, (numbers, mark) in known if numbers and mark is None}
        return self._unmarked

    def _forget(self, row: int) -> None:
        self._numbers[row] = ()
        self._unmarked_rows().discard(row)

    def _may_differ(self, row: int) -> bool:
        refused = None in self._numbers[row]
        return refused or self._events.happened_since(row, self._marks[row])

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        self._counts = poll.counts[PRIORITIZED_JOBS]
        unknown = (None,) * len(_NUMBERS)
        rows = [numbers or unknown for numbers in self._numbers]
        columns = zip(*rows, strict=True) if rows else [()] * len(_NUMBERS)
        return dict(zip(PRIORITY_BANDS.values(), map(list, columns), strict=True))
