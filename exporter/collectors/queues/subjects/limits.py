"""Pause and rate limit: what keeps workers from starting jobs, intentionally or by mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import MANUAL_RATE_LIMIT, Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, question
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.settings import Settings
from exporter.collectors.queues.subjects.waiting import PAUSED_LIST
from exporter.connection import Command, Reply
from exporter.parsing import is_digits
from exporter.state.queue_table import Column

PAUSED: Final = Column[int]("paused")
RATE_LIMIT_REMAINING: Final = Column[float]("rate_limit_remaining_seconds")
"""Seconds until the current rate limit window ends; None if there is no rate limit."""
RATE_LIMITED: Final = Column[int]("rate_limited", internal=True)
"""Whether the queue's limit in the current window is reached. None if unknown: Redis was not asked,
refused, or the limit is that of a worker, which is not in Redis."""
LEFT_IN_PAUSED_SINCE: Final = Column[float]("left_in_paused_since", internal=True)
"""Monotonic time since when the list `paused` has had jobs although the queue is not paused."""

# the queue is paused if the field exists, whatever its value: `resume` deletes it
PAUSED_FLAG: Final = Count(
    Command("HEXISTS", "meta", ("paused",), cost="bullmq_queue_paused"),
    ready=False,
    proves_existence=True,
    column=PAUSED,
)

WINDOW: Final = Command(
    "PTTL", "limiter", cost="bullmq_queue_rate_limit_remaining_seconds", microseconds=0.8
)
_STARTED: Final = Command("GET", "limiter", (), bytes, "whether a rate limit is reached")


class Limits(Subject):
    """The key `limiter` exists during a rate limit window and counts the jobs started in it."""

    counts = (PAUSED_FLAG,)
    commands = (WINDOW, _STARTED)
    columns = (RATE_LIMIT_REMAINING, RATE_LIMITED, LEFT_IN_PAUSED_SINCE)

    def __init__(self, queues: Sequence[Queue], settings: Settings) -> None:
        super().__init__(queues)
        self._settings = settings
        self._ask_window = RowCommands(queues, WINDOW)
        self._ask_started = RowCommands(queues, _STARTED)
        self._remaining: list[float | None] = []
        self._limited: list[int | None] = []
        self._in_window: list[int] = []
        self._left_since = PerRow[float | None](len(queues), initial=None)

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        size = len(self.queues)
        self._remaining, self._limited, self._in_window = [None] * size, [None] * size, []
        rate_max = self._settings.rate_max

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            for row, left in zip(asked, replies, strict=True):
                if left is None:
                    continue
                if left > 0:
                    self._remaining[row] = left / 1000
                    self._in_window.append(row)
                    continue
                self._limited[row] = 0
                if rate_max[row] is not None:
                    self._remaining[row] = 0

        # a worker's own limit is relevant only if jobs are ready
        flags = [r or limit is not None for r, limit in zip(poll.ready, rate_max, strict=True)]
        return [question(poll.where(flags), self._ask_window, take)]

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            for row, started in zip(asked, replies, strict=True):
                limit = self._settings.rate_max[row]
                count = int(started) if is_digits(started) else None
                if count is None:
                    continue
                if count >= MANUAL_RATE_LIMIT or limit is not None:
                    self._limited[row] = int(count >= min(limit or count, MANUAL_RATE_LIMIT))

        return [question(self._in_window, self._ask_started, take)]

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        left = zip(poll.counts[PAUSED_LIST], poll.counts[PAUSED_FLAG], strict=True)
        for row, (jobs, paused) in enumerate(left):
            if not (jobs and paused == 0):
                self._left_since[row] = None
            elif self._left_since[row] is None:
                self._left_since[row] = poll.now
        return {
            RATE_LIMIT_REMAINING: self._remaining,
            RATE_LIMITED: self._limited,
            LEFT_IN_PAUSED_SINCE: list(self._left_since),
        }
