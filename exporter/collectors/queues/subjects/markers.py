"""Wake-up markers: list entries of BullMQ 2 to 4 that are not jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import or_
from typing import Final

from exporter.bullmq import LISTS, Queue, is_marker, jobs_in_list
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, RowCommands
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import Command, Reply

_COST: Final = "the distinction of markers from jobs"
_ENDS: Final = {
    name: (
        Command("LINDEX", name, (0,), bytes, _COST),
        Command("LINDEX", name, (-1,), bytes, _COST),
    )
    for name in LISTS
}


class Markers(Subject):
    """Subtracts markers from the counts of lists that may contain some.

    Markers are at the ends of a list, so its length is read again together with both ends: the list
    may have changed since it was counted. Read only if the queue's version writes markers, or if
    another subject has seen one.
    """

    commands = tuple(chain.from_iterable(_ENDS.values()))

    def __init__(self, queues: Sequence[Queue], settings: Settings, lists: Sequence[Count]) -> None:
        super().__init__(queues)
        self._settings = settings
        self._lists = lists
        self._ends = [
            RowCommands(queues, count.command, *_ENDS[count.command.suffix]) for count in lists
        ]
        self._marker_seen = PerRow[bool](len(queues), initial=False)
        """Whether one of the lists contained a marker when last read."""

    def jobs_of(self, row: int, entries: Iterable[bytes | None]) -> list[bytes]:
        """The entries that are jobs, without None; remembers whether any entry is a marker."""
        known = [entry for entry in entries if entry is not None]
        # every marker begins with a 0, and hardly any ID does: see `is_marker`
        jobs = [entry for entry in known if entry[:1] != b"0" or not is_marker(entry)]
        if len(jobs) < len(known):
            self._marker_seen[row] = True
        return jobs

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        counts = [poll.counts[count] for count in self._lists]
        places = range(len(self._lists))
        suspects = poll.where(map(or_, self._settings.may_have_markers, self._marker_seen))
        filled = [[place for place in places if counts[place][row]] for row in suspects]

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            rest = iter(replies)
            for row, known in zip(asked, filled, strict=True):
                ends = {place: (next(rest), next(rest), next(rest)) for place in known}
                self._subtract(poll, row, ends)

        packed = [
            self._ends[place].of((row,))
            for row, known in zip(suspects, filled, strict=True)
            for place in known
        ]
        widths = [3 * len(known) for known in filled]
        return [Question(suspects, b"".join(packed), widths, self._ends[0].kinds, take)]

    def _subtract(
        self, poll: BatchPoll, row: int, ends: Mapping[int, tuple[Reply, Reply, Reply]]
    ) -> None:
        marker_seen = False
        for place, (length, head, tail) in ends.items():
            if length is not None:
                jobs = jobs_in_list(length, head, tail)
                poll.counts[self._lists[place]][row] = jobs
                marker_seen = marker_seen or jobs < length
        self._marker_seen[row] = marker_seen
        poll.recount_ready(row)
