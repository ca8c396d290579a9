"""What a subject remembers of each queue of a batch from poll to poll, by row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, islice
from operator import ne
from typing import Final, TypeVar

from exporter.connection import Reply

T = TypeVar("T")

_FORGOTTEN: Final = object()


class PerRow(list[T]):
    """One value for each row. When a queue moves to another batch, its value goes with it.

    The engine finds these among a subject's attributes, so everything that a subject remembers
    across polls has to be one.
    """

    def __init__(self, size: int, *, initial: T) -> None:
        super().__init__([initial] * size)


class ReplyCache(PerRow[Reply]):
    """The last reply to one question, by row; None where the question was not asked.

    Invariant: a row counts as unchanged only if its reply equals the one of the last poll that
    ended. After a poll that broke off, `forget` makes every row count as changed, because replies
    may have been noted here whose consequences were never drawn.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, initial=None)
        self._rows: Sequence[int] = ()
        self._replies: Sequence[Reply] = ()
        self._groups: tuple[Sequence[int], Sequence[int], Sequence[Reply]] | None = None

    def update(self, rows: Sequence[int], replies: Sequence[Reply]) -> list[int]:
        """Take this poll's replies; returns the rows whose reply differs from the last poll's.

        A row that is no longer asked about changes once, to None.
        """
        # At rest all replies are the same: two list comparisons in C, and no loop in Python. The
        # lists are kept, not copied: the caller must not change them afterwards.
        if replies == self._replies and rows == self._rows:
            return []
        now: list[Reply] = [None] * len(self)
        for row, reply in zip(rows, replies, strict=True):
            now[row] = reply
        changed = list(compress(range(len(self)), map(ne, self, now)))
        self._rows, self._replies = rows, replies
        self[:] = now
        return changed

    def update_groups(
        self, rows: Sequence[int], widths: Sequence[int], replies: Sequence[Reply]
    ) -> list[int]:
        """The same with `widths[i]` replies for `rows[i]`, kept as a list without empty replies."""
        if (rows, widths, replies) == self._groups:
            return []
        found = iter(replies)
        groups = [[reply for reply in islice(found, width) if reply] for width in widths]
        changed = self.update(rows, groups)
        self._groups = (rows, widths, replies)
        return changed

    def put(self, row: int, reply: Reply) -> None:
        """Replace what is known of a row by the reply to another question."""
        self[row] = reply
        self._rows, self._replies, self._groups = (), (), None

    def forget(self) -> None:
        """Make every row count as changed at the next update."""
        self[:] = [_FORGOTTEN] * len(self)
        self._rows, self._replies, self._groups = (), (), None
