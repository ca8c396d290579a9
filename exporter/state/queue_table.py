"""The queues of a database as typed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from exporter.bullmq import Queue

Value = TypeVar("Value", int, float, str)


@dataclass(frozen=True, eq=False)
class Column(Generic[Value]):
    """One fact of every queue. The subject that fills it declares it, once; it is its own key.

    A flag is a column of `int`, 1 or 0, because that is how a page shows it.
    """

    name: str
    """As Python and JSON name the fact."""
    internal: bool = False
    """Whether only the diagnosis uses it. A family of the catalogue shows every other column."""

    def __repr__(self) -> str:
        return f"Column({self.name})"


@dataclass(frozen=True, slots=True)
class QueueTable:
    """The queues that exist: entry n of each column belongs to `queues[n]`.

    Columns, because ten thousand queues are read, shown and summed as whole columns. A value is
    None where it is unknown or does not exist. `queues` stays the same object from poll to poll as
    long as the set of queues does, so readers compare it by identity.
    """

    queues: tuple[Queue, ...]
    columns: Mapping[Column[Any], Sequence[Any]]
    """Every column that a subject declares; read them with `column` and `value`."""

    def column(self, column: Column[Value]) -> Sequence[Value | None]:
        """One fact of all queues."""
        values: Sequence[Value | None] = self.columns[column]
        return values

    def value(self, column: Column[Value], row: int) -> Value | None:
        """One fact of one queue."""
        return self.column(column)[row]

    def flag(self, column: Column[int], row: int) -> bool | None:
        """A flag of one queue; None where it is unknown."""
        value = self.columns[column][row]
        return None if value is None else bool(value)
