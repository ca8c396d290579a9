"""Groups of BullMQ Pro: jobs that wait in lists of their own, which the exporter does not count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, question
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply
from exporter.state.queue_table import Column

GROUPS: Final = Column[int]("groups")
"""Number of groups with waiting jobs; None if there are none, or if it is unknown."""

_GROUPS: Final = Command("ZCARD", "groups", cost="bullmq_queue_groups")


class Groups(Subject):
    """Counts the groups, in rotation. Most queues have none, and no series."""

    commands = (_GROUPS,)
    columns = (GROUPS,)

    def __init__(self, queues: Sequence[Queue], settings: Settings) -> None:
        super().__init__(queues)
        self._settings = settings
        self._ask_groups = RowCommands(queues, _GROUPS)
        self._groups = PerRow[int | None](len(queues), initial=None)

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            for row, groups in zip(asked, replies, strict=True):
                self._groups[row] = groups or None

        return [question(self._settings.due, self._ask_groups, take)]

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        return {GROUPS: list(self._groups)}
