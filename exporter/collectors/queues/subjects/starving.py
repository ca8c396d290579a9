"""Prioritized jobs that starve: newer, more urgent ones are always started first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import PRIORITY_BAND, Queue
from exporter.collectors.queues.looks import LOOK_SECONDS
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.subjects.movement import Movement
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED_JOBS, Prioritized
from exporter.collectors.queues.subjects.waiting import Waiting
from exporter.collectors.queues.suspects import NO_SUSPECTS, StuckSubject
from exporter.parsing import id_text
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckJob, StuckJobs, StuckKind

STARVING: Final = Column[StuckJobs]("starving_examples", internal=True)
STARVING_JOBS: Final = Column[int]("starving")
"""None until the first starving job of the queue is found."""

_STARVING_MS: Final = 300_000
"""For how long a job must have been ready. To wait a little is what a low priority is for."""
_MOVING_SECONDS: Final = 60.0
"""The queue moves if a job was started within this time."""


class Starving(StuckSubject):
    """Compares the oldest prioritized job with the one that a worker would start next.

    It starves if it has been ready for five minutes, the next one became ready after it, and jobs
    are being started. A backlog that is worked off by age does not count. All facts are read by
    other subjects.
    """

    columns = (STARVING, STARVING_JOBS)
    kind = StuckKind.PRIORITY
    examples, number = columns

    def __init__(
        self,
        queues: Sequence[Queue],
        waiting: Waiting,
        prioritized: Prioritized,
        movement: Movement,
    ) -> None:
        super().__init__(queues)
        self._waiting = waiting
        self._prioritized = prioritized
        self._movement = movement

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        prioritized = poll.counts[PRIORITIZED_JOBS]
        for row in poll.rotation.due(len(self.queues), LOOK_SECONDS):
            if prioritized[row]:
                self._look(poll, row)
            elif self.suspects[row] is not NO_SUSPECTS and prioritized[row] == 0:
                self.clear(row)
        return super().fill(poll)

    def _look(self, poll: BatchPoll, row: int) -> None:
        found = {}
        oldest_ms = self._waiting.oldest_since_ms(row)
        is_old = oldest_ms is not None and poll.now_ms - oldest_ms >= _STARVING_MS
        if is_old and self._movement.has_moved_since(row, poll.now - _MOVING_SECONDS):
            found = self._starving_job(poll, row)
        if found or self.suspects[row] is not NO_SUSPECTS:
            cleared = set(self.suspects[row].ids) - found.keys()
            self.note_look(poll, row, found, cleared)

    def _starving_job(self, poll: BatchPoll, row: int) -> dict[bytes, StuckJob]:
        """The oldest prioritized job of a queue that moves, by its ID; empty if it is next."""
        firsts = self._prioritized.first_jobs(row)
        since_ms = self._waiting.since_ms(row)
        next_job = self._waiting.next_job(row) or (firsts[0].id if firsts else None)
        next_ms = since_ms.get(next_job) if next_job is not None else None
        known = [(since_ms[job.id], job) for job in firsts if job.id in since_ms]
        if not known or next_job is None or next_ms is None:
            return {}
        oldest_ms, oldest = min(known)
        if oldest_ms >= next_ms or poll.now_ms - oldest_ms < _STARVING_MS:
            return {}
        proof = (
            f"its priority is {int(oldest.score) // PRIORITY_BAND}, and the next job, "
            f"{id_text(next_job)}, is {(next_ms - oldest_ms) / 1000:.0f} s younger"
        )
        return {
            oldest.id: StuckJob(StuckKind.PRIORITY, id_text(oldest.id), oldest_ms / 1000, proof)
        }
