"""How many finished jobs each queue keeps, as it was at one time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from exporter.bullmq import Queue

_UNKNOWN: Final = -1
_MAX: Final = (1 << 31) - 1


class Kept(NamedTuple):
    """The finished jobs that a queue keeps."""

    completed: int
    failed: int


class KeptRates(NamedTuple):
    """By how many jobs a minute they have grown; negative if more were removed than kept."""

    completed: float
    failed: float


class KeptColumns(NamedTuple):
    """The columns of a table, where None is unknown."""

    completed: Sequence[int | None]
    failed: Sequence[int | None]

    def of(self, row: int) -> Kept | None:
        """Those of a row; None if either is unknown."""
        if row >= len(self.completed):
            return None
        completed, failed = self.completed[row], self.failed[row]
        return None if completed is None or failed is None else Kept(completed, failed)


UNKNOWN_COLUMNS: Final = KeptColumns((), ())


@dataclass(frozen=True)
class KeptJobs:
    """The kept jobs of all queues of a table, in eight bytes for each: many are remembered."""

    queues: tuple[Queue, ...]
    completed: array[int]
    failed: array[int]

    @staticmethod
    def of_columns(queues: tuple[Queue, ...], columns: KeptColumns) -> KeptJobs:
        """From the columns of a table of these queues."""
        return KeptJobs(queues, _packed(columns.completed), _packed(columns.failed))

    def of(self, queue: Queue, row: int) -> Kept | None:
        """Those of a queue, which is probably in that row; None if unknown."""
        if not self.completed:
            return None
        if row >= len(self.queues) or self.queues[row] is not queue:
            place = self._rows.get(queue)
            if place is None:
                return None
            row = place
        if _UNKNOWN in (self.completed[row], self.failed[row]):
            return None
        return Kept(self.completed[row], self.failed[row])

    @cached_property
    def _rows(self) -> Mapping[Queue, int]:
        return {queue: row for row, queue in enumerate(self.queues)}


NO_KEPT_JOBS: Final = KeptJobs((), array("i"), array("i"))


def _packed(column: Sequence[int | None]) -> array[int]:
    return array("i", [_UNKNOWN if count is None else min(count, _MAX) for count in column])
