"""Which prioritized jobs may be the oldest, and where to look for others. Pure.

A score in `prioritized` is `priority * 2^32 + n`. Within a priority, jobs that were put back in
front have n = 0, and the others an n that increases as they become ready. These are its two
*sections*. The first job of a section is its oldest, so the oldest job of a queue is the first of
some section.

There may be thousands of sections, so only a few are watched at every poll: the most urgent one
and those with the oldest jobs. A search finds the others: it begins with the gaps between the
watched sections, and each poll reads some jobs from the start of each gap. A gap in which that
found jobs is divided, so that the following polls read from many places at once: the sections of
any number of jobs are found in a few polls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final, NamedTuple

from exporter.bullmq import PRIORITY_BAND
from exporter.collectors.queues.subjects.events_stream import EventsMark

MAX_WATCHED: Final = 3
"""Maximum number of sections that are watched besides the most urgent one."""
MAX_READ: Final = 256
"""Maximum number of jobs of a queue that the search reads in one poll."""
MAX_PAGE: Final = 64
"""Maximum number of jobs that it reads in one place."""
_GROWTH: Final = 8
"""Each poll of a search may read in this many times as many places as the poll before."""
_MAX_GROWTHS: Final = 4

_EXACT: Final = 1 << 53
"""From here on not every integer is a score. BullMQ's scores are smaller: its largest priority is
2^21 - 1."""
END: Final = 1 << 54
"""Jobs from this score on are not searched for."""


class Job(NamedTuple):
    """A prioritized job."""

    id: bytes
    score: float


class Section(NamedTuple):
    """A section that is watched: its first job is read at every poll."""

    start: int
    """The smallest score in it."""
    job: bytes
    """The ID of its first job."""
    since_ms: float | None
    """Since when that job is ready, in Unix ms, as far as the search has read it."""


class Gap(NamedTuple):
    """Scores from `low` up to, but not including, `high`, whose jobs are unknown."""

    low: int
    high: int


def section_start(score: float) -> int:
    """The smallest score in the section of that score."""
    value = int(score)
    start = value - value % PRIORITY_BAND
    return start if value == start or value >= _EXACT else start + 1


def section_end(score: float) -> int:
    """The smallest score after the section of that score."""
    value = int(score)
    start = value - value % PRIORITY_BAND
    return start + 1 if value == start and value < _EXACT else start + PRIORITY_BAND


@dataclass(frozen=True, slots=True)
class Sections:
    """What is known of the sections of one queue. Immutable."""

    top: Job | None = None
    """The first job of all."""
    watched: tuple[Section, ...] = ()
    """By start; the most urgent section is not among them."""
    all_watched: bool = True
    """Whether the last search found no section that is not watched."""
    gaps: tuple[Gap, ...] = ()
    """What is left of the search, by score; empty if it is complete."""
    polls: int = 0
    """Number of polls of the search so far."""
    outdated: bool = False
    """Whether another section than the watched ones may have the oldest job by now."""
    count: int = 0
    """Number of prioritized jobs when the search began."""
    mark: EventsMark | None = None
    """The mark of the events when the search began; None if a section has another first job."""

    def seen(self, firsts: Sequence[Job]) -> Sections:
        """With the jobs read at this poll: the first of all, and the first from each section on."""
        if not firsts:
            return Sections()
        top = firsts[0]
        urgent = section_start(top.score)
        known = {(section.start, section.job): section for section in self.watched}
        watched: dict[int, Section] = {}
        for job in firsts[1:]:
            start = section_start(job.score)
            if start > urgent:
                unknown = Section(start, job.id, None)
                watched.setdefault(start, known.get((start, job.id), unknown))
        sections = tuple(watched.values())
        lost = not self.all_watched and any(
            section not in sections for section in self.watched if section.start > urgent
        )
        same = top == self.top and sections == self.watched
        return replace(
            self,
            top=top,
            watched=sections,
            gaps=(*self._passed(top), *self.gaps),
            outdated=self.outdated or lost,
            mark=self.mark if same else None,
        )

    def _passed(self, top: Job) -> Iterator[Gap]:
        """What to search because this job is more urgent than all before: the section that was the
        most urgent one is not watched."""
        if self.top is not None:
            low = section_end(top.score)
            high = min(END, section_end(self.top.score), *(gap.low for gap in self.gaps[:1]))
            if low < high:
                yield Gap(low, high)

    def may_be_outdated(self, mark: EventsMark | None) -> bool:
        """Whether a search may find an older job, given the mark of the events now.

        If nothing has happened, a job can still have got another priority, without an event. But
        if it is the oldest one, its section, which is watched, has another first job.
        """
        return mark is None or mark != self.mark

    def begin(self, last: Job | None, count: int, mark: EventsMark | None) -> Sections:
        """With a new search. `last` is the least urgent job, if it is known."""
        if self.top is None:
            return self
        gaps = tuple(_gaps(self.top, self.watched, last))
        watched = tuple(section._replace(since_ms=None) for section in self.watched)
        return Sections(self.top, watched, gaps=gaps, count=count, mark=mark)

    def places(self, share: int) -> tuple[tuple[Gap, ...], int]:
        """Where to read at this poll, least urgent last, and how many jobs in each place.

        `share` is the maximum number of jobs to read.
        """
        # the least urgent ones first: jobs starve there
        gaps = self.gaps[-share:]
        if not gaps:
            return (), 0
        number = min(share, max(len(gaps), _GROWTH ** min(self.polls, _MAX_GROWTHS))) // len(gaps)
        places = tuple(place for gap in gaps for place in _divided(gap, number))
        return places, max(1, min(MAX_PAGE, share // len(places)))

    def with_replies(
        self, places: Sequence[Gap], limit: int, replies: Sequence[Sequence[Job] | None]
    ) -> tuple[Sections, list[Job]]:
        """With the jobs read in these places, None for an error; and the first of each section."""
        gaps = [gap for gap in self.gaps if not places or gap.high <= places[0].low]
        found: list[Job] = []
        for place, jobs in zip(places, replies, strict=True):
            if jobs is None:
                gaps.append(place)
                continue
            low = place.low
            for job in jobs:
                if low <= job.score < place.high:
                    found.append(job)
                    low = section_end(job.score)
            if len(jobs) >= limit and place.low < low < place.high:
                gaps.append(Gap(low, place.high))
        return replace(self, gaps=tuple(gaps), polls=self.polls + 1), found

    def unread(self, found: Sequence[Job]) -> list[bytes]:
        """The jobs whose times decide which sections to watch, or are new."""
        watched = [section.job for section in self.watched if section.since_ms is None]
        if self.all_watched and len(self.watched) + len(found) <= MAX_WATCHED:
            watched = []
        return [*(job.id for job in found), *watched]

    def choose(self, found: Sequence[Job], since_ms: Mapping[bytes, float | None]) -> Sections:
        """Watch the sections with the oldest jobs, given the times that were read.

        A job without times in `since_ms` could not be read, so it is searched for again.
        """
        sections = {
            section.start: section
            if section.since_ms is not None
            else section._replace(since_ms=since_ms.get(section.job))
            for section in self.watched
        }
        for job in found:
            start = section_start(job.score)
            sections[start] = Section(start, job.id, since_ms.get(job.id))
        oldest = sorted(sections.values(), key=_age)
        failed = any(job not in since_ms for job in self.unread(found))
        return replace(
            self,
            watched=tuple(sorted(oldest[:MAX_WATCHED])),
            all_watched=self.all_watched and len(oldest) <= MAX_WATCHED,
            outdated=self.outdated or failed,
        )


def _age(section: Section) -> float:
    return inf if section.since_ms is None else section.since_ms


def _gaps(top: Job, watched: Iterable[Section], last: Job | None) -> Iterator[Gap]:
    """The gaps after the most urgent job and between the watched sections."""
    low = section_end(top.score)
    for section in watched:
        if low < section.start < END:
            yield Gap(low, section.start)
        low = max(low, section_end(section.start))
    end = END
    if last is not None:
        # the least urgent priority is read at once
        bottom = int(last.score) - int(last.score) % PRIORITY_BAND
        end = min(END, bottom + PRIORITY_BAND)
        if low < bottom < end:
            yield Gap(low, bottom)
            low = bottom
    if low < end:
        yield Gap(low, end)


def _divided(gap: Gap, number: int) -> Iterator[Gap]:
    """The gap in at most that many parts of whole priorities."""
    first = gap.low // PRIORITY_BAND
    priorities = (gap.high - 1) // PRIORITY_BAND - first + 1
    size = -(-priorities // number)
    low = gap.low
    for priority in range(first + size, first + priorities, size):
        yield Gap(low, priority * PRIORITY_BAND)
        low = priority * PRIORITY_BAND
    yield Gap(low, gap.high)
