"""Prioritized jobs: their number, and those that may be the oldest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final

from exporter.bullmq import JOB_TIMES, Queue
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import (
    QUEUE_COMMAND,
    Question,
    RowCommands,
    check_fields,
    check_scored,
    check_string_lists,
    question,
)
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.events_stream import EventsStream
from exporter.collectors.queues.subjects.job_times import JOB, readiness
from exporter.collectors.queues.subjects.sections import MAX_READ, Gap, Job, Sections
from exporter.collectors.queues.subjects.settings import Settings
from exporter.connection import KEY, Command, Reply, unexpected
from exporter.parsing import finite
from exporter.state.queue_table import Column

PRIORITIZED: Final = Column[int]("prioritized")

PRIORITIZED_JOBS: Final = Count(
    Command("ZCARD", "prioritized", cost="the number of prioritized jobs"),
    ready=True,
    proves_existence=True,
    column=PRIORITIZED,
)

_MAX_READ_OF_BATCH: Final = 512
"""Maximum number of jobs that the searches of all queues of a batch read in one poll."""

_AGE: Final = "the age of prioritized jobs"
_FIRST: Final = Command("ZRANGE", "prioritized", (0, 0, "WITHSCORES"), list, _AGE)
_LAST: Final = Command("ZRANGE", "prioritized", (-1, -1, "WITHSCORES"), list, _AGE)
_FIRST_FROM: Final = Command("ZRANGEBYSCORE", "prioritized", (), list, _AGE, (KEY, 0, 0))


@dataclass(slots=True)
class _Search:
    """What a poll reads of a queue in search of the oldest job."""

    sections: Sections
    places: tuple[Gap, ...] = ()
    limit: int = 0
    """Number of jobs to read in each place."""
    found: list[Job] = field(default_factory=list)
    """The first job of each section that was found."""
    since_ms: dict[bytes, float | None] = field(default_factory=dict)
    """The times of these jobs and of watched ones, as far as they were read."""


class Prioritized(Subject):
    """Reads the first job of the most urgent section, and of those that have the oldest jobs.

    `Sections` decides which these are. The search is repeated if jobs were added, if a watched
    section has another first job, and once a minute; not if nothing has happened in the queue.
    """

    counts = (PRIORITIZED_JOBS,)
    commands = (_FIRST, _LAST, _FIRST_FROM, JOB)

    def __init__(self, queues: Sequence[Queue], settings: Settings, events: EventsStream) -> None:
        super().__init__(queues)
        size = len(queues)
        self._settings = settings
        self._events = events
        self._ask_last = RowCommands(queues, _LAST)
        self._firsts = ReplyCache(size)
        """The first job of each watched section with its score, as in the replies."""
        self._first_jobs = PerRow[Sequence[Job]](size, initial=())
        """The same jobs, without duplicates."""
        self._sections = PerRow[Sections](size, initial=Sections())
        """As of the last completed poll."""
        self._packed = PerRow[bytes](size, initial=b"")
        """The packed commands that read `_firsts`; empty until needed."""
        self._widths = PerRow[int](size, initial=1)
        """The number of these commands."""
        self.changed: set[int] = set()
        """Rows whose first jobs have changed since the last poll."""
        self._searched_at = PerRow[int](size, initial=0)
        """The number of prioritized jobs when the last search began; -1 until it is complete."""
        self._due: set[int] = set()
        """Rows that are searched at this poll, whatever has changed."""
        self._seen: dict[int, Sections] = {}
        """With the jobs of this poll, for the rows in `changed`."""
        self._lasts: dict[int, Job | None] = {}
        """The least urgent job, of rows whose search begins."""
        self._searches: dict[int, _Search] = {}
        """The searches of this poll."""

    def first_jobs(self, row: int) -> Sequence[Job]:
        """The first job of each watched section, the most urgent one first."""
        return self._first_jobs[row]

    def oldest_found(self) -> Mapping[int, tuple[bytes, float]]:
        """The oldest job that the search has found in this poll, by row: its ID, and since when it
        is ready, in Unix ms."""
        oldest = {}
        for row, search in self._searches.items():
            since = [(job, ms) for job, ms in search.since_ms.items() if ms is not None]
            if since:
                oldest[row] = min(since, key=itemgetter(1))
        return oldest

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        self.changed, self._seen, self._lasts, self._searches = set(), {}, {}, {}
        counts = poll.counts[PRIORITIZED_JOBS]
        asked = poll.where(counts)
        return [self._ask_firsts(asked), self._ask_lasts(poll, asked)]

    def _ask_firsts(self, asked: list[int]) -> Question:
        def take(_: Sequence[int], replies: list[Reply]) -> None:
            changed = self._firsts.update_groups(asked, widths, replies)
            check_scored(chain.from_iterable(self._firsts[row] or () for row in changed))
            self.changed.update(changed)
            for row in changed:
                found = map(_jobs, self._firsts[row] or ())
                jobs = list({job.id: job for job in chain.from_iterable(found)}.values())
                self._first_jobs[row], self._seen[row] = jobs, self._sections[row].seen(jobs)

        packed = [self._packed[row] or self._pack(row) for row in asked]
        widths = [self._widths[row] for row in asked]
        return Question(asked, b"".join(packed), widths, (list,), take)

    def _ask_lasts(self, poll: BatchPoll, asked: list[int]) -> Question:
        """Asks for the least urgent job of the rows whose search begins."""

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_scored(replies)
            for row, reply in zip(rows, replies, strict=True):
                self._lasts[row] = next(iter(_jobs(reply or ())), None)

        counts = poll.counts[PRIORITIZED_JOBS]
        self._due = {row for row in asked if counts[row] > self._searched_at[row]}
        for row in self._settings.due:
            if counts[row] and self._sections[row].may_be_outdated(self._events.marks[row]):
                self._due.add(row)
        begins = [row for row in sorted(self._due) if not self._sections[row].gaps]
        return question(begins, self._ask_last, take)

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        counts = poll.counts[PRIORITIZED_JOBS]
        passed = {row for row, seen in self._seen.items() if seen.gaps}
        for row in sorted(self._due | passed):
            sections = self._seen.get(row, self._sections[row])
            if row in self._lasts:
                mark = self._events.marks[row]
                sections = sections.begin(self._lasts[row], counts[row], mark)
            self._searches[row] = _Search(sections)
        share = min(MAX_READ, max(1, _MAX_READ_OF_BATCH // max(1, len(self._searches))))
        for search in self._searches.values():
            search.places, search.limit = search.sections.places(share)
        return [self._ask_places()]

    def _ask_places(self) -> Question:
        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_string_lists(replies)
            if any(len(reply) % 2 for reply in replies if reply is not None):
                raise unexpected(QUEUE_COMMAND)
            rest = iter(replies)
            for search in self._searches.values():
                jobs = [
                    None if reply is None else _jobs(reply)
                    for reply in islice(rest, len(search.places))
                ]
                search.sections, search.found = search.sections.with_replies(
                    search.places, search.limit, jobs
                )

        packed = [
            _FIRST_FROM.on(
                self.queues[row].key,
                more=(low, high - 1, "WITHSCORES", "LIMIT", 0, search.limit),
            )
            for row, search in self._searches.items()
            for low, high in search.places
        ]
        widths = [len(search.places) for search in self._searches.values()]
        return Question(list(self._searches), b"".join(packed), widths, (list,), take)

    def ask_again(self, poll: BatchPoll) -> Iterable[Question]:
        unread = {
            row: jobs
            for row, search in self._searches.items()
            if (jobs := search.sections.unread(search.found))
        }

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, len(JOB_TIMES))
            rest = iter(replies)
            for row, jobs in unread.items():
                events = self._events.times[row]
                for job, times in zip(jobs, islice(rest, len(jobs)), strict=True):
                    if times is not None:
                        since_ms, _skew = readiness(events, job, times, poll.now_ms)
                        self._searches[row].since_ms[job] = since_ms

        packed = [
            JOB.on(self.queues[row].key + job) for row, jobs in unread.items() for job in jobs
        ]
        widths = [len(jobs) for jobs in unread.values()]
        return [Question(list(unread), b"".join(packed), widths, (list,), take)] if unread else []

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        for row, sections in self._seen.items():
            self._keep(row, sections)
        for row, search in self._searches.items():
            self._keep(row, search.sections.choose(search.found, search.since_ms))
        return {}

    def _keep(self, row: int, sections: Sections) -> None:
        """Remember what a completed poll has shown; an aborted one has not shown all."""
        before, self._sections[row] = self._sections[row], sections
        self._searched_at[row] = -1 if sections.gaps or sections.outdated else sections.count
        if [each.start for each in sections.watched] != [each.start for each in before.watched]:
            self._packed[row] = b""

    def _pack(self, row: int) -> bytes:
        """Pack the commands that read the first job of all, and those of the watched sections."""
        key, watched = self.queues[row].key, self._sections[row].watched
        self._widths[row] = 1 + len(watched)
        more = [
            _FIRST_FROM.on(key, more=(section.start, "+inf", "WITHSCORES", "LIMIT", 0, 1))
            for section in watched
        ]
        # the first of all: the same job as by score, and cheaper
        packed = self._packed[row] = b"".join([_FIRST.on(key), *more])
        return packed


def _jobs(reply: Sequence[bytes]) -> list[Job]:
    """The jobs in a reply with scores; BullMQ writes no infinite score."""
    scored = zip(reply[::2], map(finite, reply[1::2]), strict=True)
    return [Job(job, score) for job, score in scored if score is not None]
