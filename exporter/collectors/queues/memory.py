"""The state of a subject across polls, by row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, islice
from operator import ne
from typing import Final, TypeVar

from exporter.connection import Reply

T = TypeVar("T")

_FORGOTTEN: Final = object()


class PerRow(list[T]):
    """One value for each row. When a queue moves to another batch, its value moves with it.

    The engine finds these among the subject's attributes, so all state across polls must be in
    them.
    """

    def __init__(self, size: int, *, initial: T) -> None:
        super().__init__([initial] * size)


class ReplyCache(PerRow[Reply]):
    """The last reply to one question, by row; None if the question was not asked.

    Invariant: a row counts as unchanged only if its reply equals that of the last completed poll.
    After an aborted poll, `forget` makes every row count as changed, because replies may have been
    cached here without being processed.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, initial=None)
        self._rows: Sequence[int] = ()
        self._replies: Sequence[Reply] = ()
        self._groups: tuple[Sequence[int], Sequence[int], Sequence[Reply]] | None = None

    def update(self, rows: Sequence[int], replies: Sequence[Reply]) -> list[int]:
        """Store this poll's replies; returns the rows whose reply differs from the last poll's.

        A row that is no longer asked about changes once, to None.
        """
        # Usually all replies are the same: two list comparisons in C instead of a loop in Python.
        # The lists are not copied: the caller must not modify them afterwards.
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
        """Like `update`, with `widths[i]` replies for `rows[i]`; stores lists of non-empty ones."""
        if (rows, widths, replies) == self._groups:
            return []
        rest = iter(replies)
        groups = [[reply for reply in islice(rest, width) if reply] for width in widths]
        changed = self.update(rows, groups)
        self._groups = (rows, widths, replies)
        return changed

    def put(self, row: int, reply: Reply) -> None:
        """Replace the reply of a row with that to another question."""
        self[row] = reply
        self._rows, self._replies, self._groups = (), (), None

    def forget(self) -> None:
        """Make every row count as changed at the next update."""
        self[:] = [_FORGOTTEN] * len(self)
        self._rows, self._replies, self._groups = (), (), None
