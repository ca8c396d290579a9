"""The queues of a database as typed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from exporter.bullmq import Queue
from exporter.state.failures import Failures
from exporter.state.kept import UNKNOWN_COLUMNS, KeptColumns
from exporter.state.schedulers import FirstSchedulers
from exporter.state.stuck import NO_LOOKS, LookTotals, StuckJobs

Value = TypeVar("Value", int, float, str, bytes, StuckJobs, Failures, FirstSchedulers)


@dataclass(frozen=True, eq=False)
class Column(Generic[Value]):
    """One fact of every queue, declared once by the subject that fills it. Compared by identity.

    A flag is an `int` column of 1 and 0, as the metrics page shows it.
    """

    name: str
    """The fact's name in Python and JSON."""
    internal: bool = False
    """Whether only the diagnosis uses it. Every other column has a metric family."""

    def __repr__(self) -> str:
        return f"Column({self.name})"


@dataclass(frozen=True, slots=True)
class QueueTable:
    """The queues that exist: entry n of each column belongs to `queues[n]`.

    Columns, because ten thousand queues are read, rendered and summed column by column. A value is
    None if it is unknown or does not exist. `queues` is the same object from poll to poll until the
    set of queues changes, so readers compare it by identity.
    """

    queues: tuple[Queue, ...]
    columns: Mapping[Column[Any], Sequence[Any]]
    """Every column that a subject declares; use `column` and `value` to read them."""
    ready: Sequence[int | None]
    """The number of jobs that a worker could start; None if a part of it is unknown."""
    known_ready: Sequence[int]
    """The part of `ready` that is known: a worker could start at least these jobs."""
    kept: KeptColumns = UNKNOWN_COLUMNS
    """The numbers of finished jobs that are kept."""
    looks: LookTotals = NO_LOOKS
    """The looks at jobs that may be stuck."""

    def __post_init__(self) -> None:
        """Raises `ValueError` if a column has another length: the page would mix up the queues."""
        wrong = [c.name for c, values in self.columns.items() if len(values) != len(self.queues)]
        if wrong or not len(self.ready) == len(self.known_ready) == len(self.queues):
            raise ValueError(f"columns of another length than the queues: {', '.join(wrong)}")

    def column(self, column: Column[Value]) -> Sequence[Value | None]:
        """The values of all queues."""
        values: Sequence[Value | None] = self.columns[column]
        return values

    def value(self, column: Column[Value], row: int) -> Value | None:
        """The value of one queue."""
        return self.column(column)[row]

    def flag(self, column: Column[int], row: int) -> bool | None:
        """The flag of one queue; None if it is unknown."""
        value = self.columns[column][row]
        return None if value is None else bool(value)
