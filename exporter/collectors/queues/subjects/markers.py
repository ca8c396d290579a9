"""Wake-up markers: entries of BullMQ 3 and 4 in lists that are no jobs."""

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

_COST: Final = "telling markers from jobs"
_ENDS: Final = {
    name: (
        Command("LINDEX", name, (0,), bytes, _COST),
        Command("LINDEX", name, (-1,), bytes, _COST),
    )
    for name in LISTS
}


class Markers(Subject):
    """Takes markers off the counts of lists that may hold some.

    A marker stands at an end of its list, so the length is read again with both ends, in one
    round trip: the list may have moved since it was counted. Only lists of queues whose version
    leaves markers are looked at, and those in which another subject met one (`met`).
    """

    commands = tuple(chain.from_iterable(_ENDS.values()))

    def __init__(self, queues: Sequence[Queue], settings: Settings, lists: Sequence[Count]) -> None:
        super().__init__(queues)
        self._settings = settings
        self._lists = lists
        self._ends = [
            RowCommands(queues, count.command, *_ENDS[count.command.suffix]) for count in lists
        ]
        self._met = PerRow[bool](len(queues), initial=False)
        """Whether a marker was in one of its lists the last time they were looked at."""

    def jobs_of(self, row: int, entries: Iterable[bytes | None]) -> list[bytes]:
        """The entries that are jobs; None is left out, and a marker among them remembered."""
        known = [entry for entry in entries if entry is not None]
        jobs = [entry for entry in known if not is_marker(entry)]
        if len(jobs) < len(known):
            self._met[row] = True
        return jobs

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        counts = [poll.counts[count] for count in self._lists]
        places = range(len(self._lists))
        suspects = poll.where(map(or_, self._settings.may_have_markers, self._met))
        filled = [[place for place in places if counts[place][row]] for row in suspects]

        def take(asked: Sequence[int], replies: list[Reply]) -> None:
            found = iter(replies)
            for row, known in zip(asked, filled, strict=True):
                ends = {place: (next(found), next(found), next(found)) for place in known}
                self._take_off(poll, row, ends)

        packed = [
            self._ends[place].of((row,))
            for row, known in zip(suspects, filled, strict=True)
            for place in known
        ]
        widths = [3 * len(known) for known in filled]
        return [Question(suspects, b"".join(packed), widths, self._ends[0].kinds, take)]

    def _take_off(
        self, poll: BatchPoll, row: int, ends: Mapping[int, tuple[Reply, Reply, Reply]]
    ) -> None:
        met = False
        for place, (length, head, tail) in ends.items():
            if length is not None:
                jobs = jobs_in_list(length, head, tail)
                poll.counts[self._lists[place]][row] = jobs
                met = met or jobs < length
        self._met[row] = met
        poll.recount_ready(row)
