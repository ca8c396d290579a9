"""Whether a queue exists, checked if no count proves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import STALLED_CHECK_GRACE_SECONDS, Queue
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands, question
from exporter.collectors.queues.subject import Subject
from exporter.collectors.queues.subjects.liveness import STALLED_CHECK, Liveness
from exporter.connection import Command, Reply
from exporter.state.queue_table import Column

HAS_ID: Final = Column[int]("has_id", internal=True)
"""Whether a job was ever added; 1 if a count proves that the queue exists."""

_COST: Final = "removal of deleted queues before the next discovery"
_META: Final = Command("EXISTS", "meta", cost=_COST)
_ID: Final = Command("EXISTS", "id", cost=_COST)


class Existence(Subject):
    """Looks for the keys of a queue; a queue that has none of them is not shown."""

    commands = (_META, _ID)
    columns = (HAS_ID,)

    def __init__(self, queues: Sequence[Queue], liveness: Liveness) -> None:
        super().__init__(queues)
        self._liveness = liveness
        self._ask_keys = RowCommands(queues, _META, _ID, STALLED_CHECK)
        self._worker_seen = PerRow[float](len(queues), initial=float("-inf"))
        """Monotonic time at which `stalled-check` was last seen, in rows without other proof."""
        self._has_id: list[int | None] = []

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self._has_id = [1] * len(self.queues)

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            groups = zip(asked, replies[::3], replies[1::3], replies[2::3], strict=True)
            for row, meta, has_id, stalled_check in groups:
                self._liveness.note(row, stalled_check)
                self._has_id[row] = has_id
                if stalled_check is not None:
                    self._worker_seen[row] = poll.now
                silent = poll.now - self._worker_seen[row] > STALLED_CHECK_GRACE_SECONDS
                gone = meta == 0 and has_id == 0 and stalled_check is None and silent
                poll.exists[row] = self.queues[row].static or not gone

        return [question(poll.unproven, self._ask_keys, take)]

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        return {HAS_ID: self._has_id}
