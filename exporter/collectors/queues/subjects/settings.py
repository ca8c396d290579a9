"""Settings in the queue's `meta` hash. They rarely change and are read in rotation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import SETTINGS, Queue, QueueSettings, queue_settings
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, check_fields, question
from exporter.collectors.queues.subject import Subject
from exporter.connection import Command, Reply
from exporter.parsing import MAX_LABEL_BYTES
from exporter.state.queue_table import Column

LIBRARY_VERSION: Final = Column[str]("library_version")
"""The BullMQ version in `meta`, empty if missing; None if `meta` could not be read."""
CONCURRENCY_LIMIT: Final = Column[int]("concurrency_limit")
"""The global concurrency; None if there is no limit, or if `meta` could not be read."""

_META: Final = Command("HMGET", "meta", SETTINGS, reply=list, cost="ages of jobs, queue settings")
_MAX_AGE_SECONDS: Final = 60.0


class Settings(Subject):
    """Version, global concurrency and global rate limit."""

    commands = (_META,)
    columns = (LIBRARY_VERSION, CONCURRENCY_LIMIT)

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        size = len(queues)
        self._ask_meta = RowCommands(queues, _META)
        self._fields = PerRow[Reply](size, initial=None)
        """The last reply; None before the first, and if it is too large to keep."""
        self._oversized = 0
        self._versions = PerRow[str | None](size, initial=None)
        self._concurrency = PerRow[int | None](size, initial=None)
        self.due: Sequence[int] = ()
        """The rows that are due at this poll, and those whose settings are unknown. Other subjects
        use the same rotation."""
        self.rate_max = PerRow[int | None](size, initial=None)
        """Global rate limit: maximum number of jobs per window; None if there is no limit."""
        self.may_have_markers = PerRow[bool](size, initial=True)
        """Whether lists may contain wake-up markers; true while the version is unknown."""

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self._oversized = 0
        self.due = poll.rotation.due(len(self.queues), _MAX_AGE_SECONDS)
        if None in self._versions:
            unknown = (row for row in poll.rows if self._versions[row] is None)
            self.due = sorted({*self.due, *unknown})
        return [question(self.due, self._ask_meta, self._take)]

    def _take(self, asked: Sequence[int], replies: list[Reply]) -> None:
        check_fields(replies, len(SETTINGS))
        for row, fields in zip(asked, replies, strict=True):
            if fields is None or fields != self._fields[row]:
                oversized = sum(map(len, filter(None, fields or ()))) > MAX_LABEL_BYTES
                self._fields[row] = None if oversized else fields
                self._oversized += oversized
                settings = QueueSettings() if fields is None else queue_settings(fields)
                self._versions[row] = None if fields is None else settings.version
                self._concurrency[row] = settings.concurrency
                self.rate_max[row] = settings.rate_max
                self.may_have_markers[row] = settings.may_have_markers

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        poll.oversized_versions = self._oversized
        return {
            LIBRARY_VERSION: list(self._versions),
            CONCURRENCY_LIMIT: list(self._concurrency),
        }
