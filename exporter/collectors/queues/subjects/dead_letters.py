"""Failed jobs that BullMQ keeps: since when, and when the last one failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import ne
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, check_scored, question
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects.events_stream import EventsMark, EventsStream
from exporter.collectors.queues.subjects.finished import FAILED_JOBS
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply
from exporter.parsing import finite
from exporter.state.queue_table import Column

OLDEST_FAILED: Final = Column[float]("oldest_failed")
"""Unix time in seconds when the oldest kept failed job failed; None if there is none."""
NEWEST_FAILED: Final = Column[float]("newest_failed")
"""The same of the newest one."""

_TIMES: Final = "the times of the oldest and the newest failed job"
# the score is the time of the failure in Unix ms: moveToFinished in BullMQ 3 to 6, Bull 4
_FIRST: Final = Command("ZRANGE", "failed", (0, 0, "WITHSCORES"), list, _TIMES)
_LAST: Final = Command("ZRANGE", "failed", (-1, -1, "WITHSCORES"), list, _TIMES)


class DeadLetters(Subject):
    """Read again if the number of failed jobs has changed, and with the settings, unless the events
    prove that nothing has happened: `removeOnFail` replaces a job by another one without changing
    the number."""

    commands = (_FIRST, _LAST)
    columns = (OLDEST_FAILED, NEWEST_FAILED)

    def __init__(self, queues: Sequence[Queue], settings: Settings, events: EventsStream) -> None:
        super().__init__(queues)
        size = len(queues)
        self._settings = settings
        self._events = events
        self._ask_both = RowCommands(queues, _FIRST, _LAST)
        self._count = PerRow[int](size, initial=0)
        """The number of failed jobs when the times were read."""
        self._oldest = PerRow[float | None](size, initial=None)
        self._newest = PerRow[float | None](size, initial=None)
        self._marks = PerRow[EventsMark | None](size, initial=None)
        """The mark of the events when the times were read."""

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        counts = poll.counts[FAILED_JOBS]
        asked = [row for row in self._settings.due if counts[row] and self._may_differ(row)]
        if counts != self._count:
            changed = list(compress(poll.rows, map(ne, counts, self._count)))
            asked = sorted({*asked, *(row for row in changed if counts[row])})
            for row in changed:
                if not counts[row]:
                    self._forget(row)

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_scored(replies)
            for row, first, last in zip(rows, replies[::2], replies[1::2], strict=True):
                self._count[row], self._marks[row] = counts[row] or 0, self._events.marks[row]
                self._oldest[row], self._newest[row] = _time(first), _time(last)

        return [question(asked, self._ask_both, take)]

    def _may_differ(self, row: int) -> bool:
        return self._oldest[row] is None or self._events.happened_since(row, self._marks[row])

    def _forget(self, row: int) -> None:
        """Forget the times: there is no failed job, or that is unknown."""
        self._count[row], self._oldest[row], self._newest[row] = 0, None, None

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        return {OLDEST_FAILED: list(self._oldest), NEWEST_FAILED: list(self._newest)}


def _time(reply: Reply) -> float | None:
    score = finite(reply[1]) if reply else None
    return None if score is None else score / 1000
