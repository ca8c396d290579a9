"""What is remembered of a batch's queues from poll to poll, by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from operator import ne
from typing import Final, Self

from exporter.connection import Reply

_FORGOTTEN: Final = object()


class Seen(list[Reply]):
    """The last reply to one question, by row; None where there was none."""

    def __init__(self, size: int) -> None:
        super().__init__([None] * size)
        self._rows: Sequence[int] = ()
        self._replies: Sequence[Reply] = ()
        self._several: tuple[Sequence[int], Sequence[int], Sequence[Reply]] | None = None

    def news(self, rows: Sequence[int], replies: Sequence[Reply]) -> list[int]:
        """Take the replies of this poll; gives the rows for which they are others than before."""
        if replies == self._replies and rows == self._rows:
            return []
        now: list[Reply] = [None] * len(self)
        for row, reply in zip(rows, replies, strict=True):
            now[row] = reply
        changed = list(compress(range(len(self)), map(ne, self, now)))
        self._rows, self._replies = rows, replies
        self[:] = now
        return changed

    def news_of_several(
        self, rows: Sequence[int], widths: Sequence[int], replies: Sequence[Reply]
    ) -> list[int]:
        """The same for as many replies a row as `widths` says; empty ones are left out."""
        if (rows, widths, replies) == self._several:
            return []
        found = iter(replies)
        several = [[reply for reply in islice(found, width) if reply] for width in widths]
        news = self.news(rows, several)
        self._several = (rows, widths, replies)
        return news

    def put(self, row: int, reply: Reply) -> None:
        """Take what another question has told of the row."""
        self[row] = reply
        self._rows, self._replies, self._several = (), (), None

    def forget(self) -> None:
        """Whatever comes next is news."""
        self[:] = [_FORGOTTEN] * len(self)
        self._rows, self._replies, self._several = (), (), None


@dataclass(frozen=True, slots=True)
class Progress:
    """What was seen of a queue's movement at a poll."""

    next_job: bytes | None = None
    """The job that the next worker takes from the list."""
    first_prioritized: tuple[bytes, float] | None = None
    """The most urgent prioritized job, and its score."""
    newest_active: bytes | None = None
    finished: tuple[object, object] = (None, None)
    """How many jobs were completed and failed."""


class Kept:
    """Columns; times are milliseconds of the server's clock where they say so, else monotonic."""

    def __init__(self, size: int) -> None:
        self.fields: list[Reply] = [None] * size
        """The settings as they were read; None until they were."""
        self.versions: list[str | None] = [None] * size
        """`version` of `meta`; None until it was read."""
        self.concurrency: list[int | None] = [None] * size
        self.rate_max: list[int | None] = [None] * size
        self.old_version: list[bool] = [True] * size
        """Whether its version leaves markers in lists, as far as is known."""
        self.marked: list[bool] = [False] * size
        """Whether a marker was in one of its lists the last time they were looked at."""
        self.schedulers: list[int | None] = [None] * size

        self.worker_seen: list[float] = [float("-inf")] * size
        """When a worker's stalled-check was last seen on a queue without any other key."""
        self.stalled_check_ms: list[float] = [0.0] * size
        """The greatest value seen of `stalled-check`, the time of a worker's last check."""
        self.life_known: list[bool] = [False] * size
        """Whether that and the locks have been asked for since its work is ready."""
        self.active_locked: list[int | None] = [None] * size
        """Whether a worker held an active job then."""

        self.wait_tail = Seen(size)
        self.wait_head = Seen(size)
        self.paused_tail = Seen(size)
        self.paused_head = Seen(size)
        self.firsts = Seen(size)
        """The first job of each priority."""
        self.oldest_active = Seen(size)
        self.newest_active = Seen(size)
        self.first_delayed = Seen(size)
        self.first_scheduled = Seen(size)
        self.completed = Seen(size)
        self.failed = Seen(size)

        self.bands: list[tuple[int, ...]] = [()] * size
        """The priorities seen among prioritized jobs, ascending."""
        self.bands_asked: list[bytes] = [b""] * size
        """The packed commands that ask for the first job of each, once they were needed."""
        self.bands_width: list[int] = [1] * size
        """Their number."""
        self.looked_through: list[int] = [0] * size
        """The prioritized jobs there were when all priorities were last looked through."""

        self.jobs: list[tuple[bytes, ...]] = [()] * size
        """The waiting jobs that were looked at."""
        self.oldest_ms: list[float | None] = [None] * size
        """Since when the oldest of them is ready."""
        self.active_job: list[bytes | None] = [None] * size
        """The oldest active job."""
        self.started_ms: list[float | None] = [None] * size
        """When it was started."""
        self.locks_asked: list[bytes] = [b""] * size
        """The packed command that asks for the locks of active jobs, once it was needed."""
        self.delayed_ms: list[float | None] = [None] * size
        """When the first delayed job is due."""
        self.scheduled_ms: list[float | None] = [None] * size
        """When the first scheduler's next iteration is due."""

        self.progress: list[Progress] = [Progress()] * size
        self.ready_since: list[float | None] = [None] * size
        """Since when there has always been ready work."""
        self.still_since: list[float | None] = [None] * size
        """Since when ready work has not been seen to move."""

    def forget_replies(self) -> None:
        """After a poll that broke off: whatever is read next is news."""
        for column in vars(self).values():
            if isinstance(column, Seen):
                column.forget()

    @classmethod
    def of(cls, sources: Iterable[tuple[Kept, int] | None]) -> Self:
        """Rows out of others; None for a queue of which nothing is known yet."""
        sources = list(sources)
        kept = cls(len(sources))
        rows = [(row, *source) for row, source in enumerate(sources) if source is not None]
        for name, column in vars(kept).items() if rows else ():
            for row, other, place in rows:
                column[row] = getattr(other, name)[place]
        return kept
