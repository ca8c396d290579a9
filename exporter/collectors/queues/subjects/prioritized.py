"""Prioritized jobs: their number, and the first job of the highest priorities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple

from exporter.bullmq import PRIORITY_BAND, Queue
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, check_scored
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import KEY, Command, Reply
from exporter.parsing import finite
from exporter.state.queue_table import Column

PRIORITIZED: Final = Column[int]("prioritized")

PRIORITIZED_JOBS: Final = Count(
    Command("ZCARD", "prioritized", cost="the number of prioritized jobs"),
    ready=True,
    proves_existence=True,
    column=PRIORITIZED,
)

MAX_BANDS: Final = 4
"""Maximum number of priorities whose first job is read; one more is discovered per poll."""

_FIRST: Final = Command(
    "ZRANGE", "prioritized", (0, 0, "WITHSCORES"), list, "the age of prioritized jobs"
)
_FIRST_FROM: Final = Command(
    "ZRANGEBYSCORE", "prioritized", (), list, "the age of prioritized jobs", (KEY, 0, 0)
)


class Job(NamedTuple):
    """A prioritized job."""

    id: bytes
    score: float

    @property
    def priority(self) -> int:
        return int(self.score // PRIORITY_BAND)


class Prioritized(Subject):
    """Reads the first job of each priority: within a priority, the first job is the oldest.

    Priorities are discovered one per poll: a question asks for the first job after the last known
    priority, if jobs were added or the settings are due.
    """

    counts = (PRIORITIZED_JOBS,)
    commands = (_FIRST, _FIRST_FROM)

    def __init__(self, queues: Sequence[Queue], settings: Settings) -> None:
        super().__init__(queues)
        size = len(queues)
        self._settings = settings
        self._firsts = ReplyCache(size)
        """The first job of each known priority with its score, as in the reply."""
        self._bands = PerRow[tuple[int, ...]](size, initial=())
        """The known priorities, ascending."""
        self._packed = PerRow[bytes](size, initial=b"")
        """The packed commands that read `_firsts`; empty until needed."""
        self._widths = PerRow[int](size, initial=1)
        """The number of these commands."""
        self._complete_at = PerRow[int](size, initial=0)
        """The number of prioritized jobs when the last search found no further priority."""
        self.changed: set[int] = set()
        """Rows whose first jobs have changed since the last poll."""
        self._new_bands: set[int] = set()
        """Rows whose known priorities have changed since the last poll."""

    def first_jobs(self, row: int) -> list[Job]:
        """The first job of each known priority, highest priority first."""
        scored = [(job, finite(score)) for job, score in self._firsts[row] or ()]
        # BullMQ writes no infinite score
        return [Job(job, score) for job, score in scored if score is not None]

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self.changed, self._new_bands = set(), set()
        return [self._known_priorities(poll), self._next_priority(poll)]

    def _known_priorities(self, poll: BatchPoll) -> Question:
        def take(_: Sequence[int], replies: list[Reply]) -> None:
            changed = self._firsts.update_groups(asked, widths, replies)
            check_scored(chain.from_iterable(self._firsts[row] or () for row in changed))
            for row in changed:
                self._note_change(row)

        asked = poll.where(poll.counts[PRIORITIZED_JOBS])
        packed = [self._packed[row] or self._pack(row) for row in asked]
        widths = [self._widths[row] for row in asked]
        return Question(asked, b"".join(packed), widths, (list,), take)

    def _next_priority(self, poll: BatchPoll) -> Question:
        counts = poll.counts[PRIORITIZED_JOBS]

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_scored(replies)
            for row, first in zip(asked, replies, strict=True):
                if first:
                    self._firsts.put(row, [*(self._firsts[row] or ()), first])
                    self._note_change(row)
                elif first is not None and row not in self._new_bands:  # None: an error
                    self._complete_at[row] = counts[row]

        searched = {row for row in poll.where(counts) if counts[row] > self._complete_at[row]}
        searched.update(row for row in self._settings.due if counts[row])
        asked = [row for row in searched if 0 < len(self._bands[row]) < MAX_BANDS]
        packed = [self._first_from(row, self._bands[row][-1] + 1) for row in asked]
        return Question(asked, b"".join(packed), [1] * len(asked), (list,), take)

    def _note_change(self, row: int) -> None:
        self.changed.add(row)
        bands = tuple(job.priority for job in self.first_jobs(row))
        if bands != self._bands[row]:
            self._new_bands.add(row)
            self._bands[row], self._packed[row] = bands, b""
            self._complete_at[row] = 0  # there may be more: search again

    def _pack(self, row: int) -> bytes:
        """Pack the commands for the first job of each known priority; if none is known, of all."""
        starts = [0, *(priority + 1 for priority in self._bands[row][:-1])]
        self._widths[row] = len(starts)
        packed = self._packed[row] = b"".join([self._first_from(row, start) for start in starts])
        return packed

    def _first_from(self, row: int, priority: int) -> bytes:
        """Pack the command for the first job with that priority or a lower one."""
        key = self.queues[row].key
        if priority == 0:  # the same job as by score, and cheaper
            return _FIRST.on(key)
        min_score = priority * PRIORITY_BAND
        return _FIRST_FROM.on(key, more=(min_score, "+inf", "WITHSCORES", "LIMIT", 0, 1))
