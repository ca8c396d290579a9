"""The search for the sections of prioritized jobs, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.bullmq import PRIORITY_BAND
from exporter.collectors.queues.subjects.sections import (
    END,
    MAX_PAGE,
    MAX_READ,
    MAX_WATCHED,
    Gap,
    Job,
    Sections,
    section_end,
    section_start,
)


def score(priority: int, n: int = 1) -> int:
    return priority * PRIORITY_BAND + n


def jobs(*scores: float) -> list[Job]:
    return [Job(b"%d" % value, value) for value in sorted(scores)]


def poll(sections: Sections, kept: Sequence[Job], share: int = MAX_READ) -> tuple[Sections, int]:
    """One poll of a search that has begun, and how many jobs it has read."""
    places, limit = sections.places(share)
    replies = [
        [job for job in kept if place.low <= job.score < place.high][:limit] for place in places
    ]
    sections, found = sections.with_replies(places, limit, replies)
    # the job's number is its time: the larger, the younger
    times = {job: float(job) for job in sections.unread(found)}
    return sections.choose(found, times), sum(map(len, replies))


def searched(kept: Sequence[Job], share: int = MAX_READ) -> tuple[Sections, int]:
    """After a complete search; and how many polls it took."""
    sections, polls = Sections().seen(kept[:1]).begin(kept[-1], len(kept), None), 0
    while sections.gaps:
        sections, read = poll(sections, kept, share)
        assert read <= share
        polls += 1
    return sections, polls


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        # put back in front
        (score(3, 0), score(3, 0), score(3, 1)),
        (score(3, 1), score(3, 1), score(4, 0)),
        (score(3, 7), score(3, 1), score(4, 0)),
        # the largest priority of BullMQ
        (score(2**21 - 1, 5), score(2**21 - 1, 1), score(2**21, 0)),
        # where not every integer is a score
        (score(2**21, 0), score(2**21, 0), score(2**21 + 1, 0)),
    ],
)
def test_sections(value: int, start: int, end: int) -> None:
    assert (section_start(value), section_end(value)) == (start, end)


def test_one_section_needs_no_search() -> None:
    kept = jobs(score(5, 1), score(5, 2))
    assert Sections().seen(kept[:1]).begin(kept[-1], 2, None).gaps == ()


def test_few_jobs_are_found_in_one_poll() -> None:
    kept = jobs(*(score(p, n) for p in range(1, 9) for n in (1, 2, 3)), score(50))
    sections, polls = searched(kept)
    assert polls == 1
    assert [section.start for section in sections.watched] == [score(p) for p in (2, 3, 4)]
    assert not sections.all_watched


@pytest.mark.parametrize("each", [1, 3, 8])
def test_a_thousand_priorities_are_found_in_a_few_polls(each: int) -> None:
    """However many jobs each of them has, and how far apart they are."""
    for distance in (1, 2000):
        kept = jobs(*(score(1 + p * distance, n + 1) for p in range(1000) for n in range(each)))
        assert searched(kept)[1] <= 10


def test_without_the_last_job_the_search_still_ends() -> None:
    kept = jobs(*(score(priority) for priority in range(1, 300)))
    sections = Sections().seen(kept[:1]).begin(None, len(kept), None)
    while sections.gaps:
        sections, _ = poll(sections, kept)
    assert len(sections.watched) == MAX_WATCHED


@given(
    st.sets(st.tuples(st.integers(1, 60) | st.integers(1, 2**22), st.integers(0, 3)), min_size=1),
    st.integers(1, MAX_READ),
)
def test_every_section_is_found_once(places: set[tuple[int, int]], share: int) -> None:
    kept = jobs(*(score(*place) for place in places if score(*place) < END))
    found: list[Job] = []
    sections = Sections().seen(kept[:1]).begin(kept[-1], len(kept), None) if kept else Sections()
    while sections.gaps:
        places_now, limit = sections.places(share)
        assert len(places_now) * limit <= share
        assert limit <= MAX_PAGE
        replies = [
            [job for job in kept if low <= job.score < high][:limit] for low, high in places_now
        ]
        sections, more = sections.with_replies(places_now, limit, replies)
        found += more
    firsts: dict[int, Job] = {}
    for job in kept:
        firsts.setdefault(section_start(job.score), job)
    assert sorted(found) == sorted(list(firsts.values())[1:])


def test_an_error_is_asked_about_again() -> None:
    kept = jobs(score(1), score(2), score(9))
    sections = Sections().seen(kept[:1]).begin(kept[-1], 3, None)
    places, limit = sections.places(MAX_READ)
    after, found = sections.with_replies(places, limit, [None] * len(places))
    assert after.gaps == sections.gaps
    assert found == []


def test_replies_that_no_redis_sends_end_the_search() -> None:
    sections = Sections().seen(jobs(score(1))).begin(Job(b"9", score(9)), 2, None)
    places, limit = sections.places(MAX_READ)
    wrong = [[Job(b"1", -1.0)] * limit for _ in places]
    after, found = sections.with_replies(places, limit, wrong)
    assert (after.gaps, found) == ((), [])


def test_a_job_whose_times_could_not_be_read_is_searched_for_again() -> None:
    kept = jobs(score(1), score(2))
    sections = Sections().seen(kept[:1]).begin(kept[-1], 2, None)
    places, limit = sections.places(MAX_READ)
    sections, found = sections.with_replies(places, limit, [kept[1:] for _ in places])
    assert sections.choose(found, {}).outdated
    assert not sections.choose(found, {kept[1].id: None}).outdated


class TestSeen:
    """What the jobs of the next poll mean."""

    KEPT = jobs(*(score(priority) for priority in range(1, 9)))

    def watched(self, kept: Sequence[Job]) -> Sections:
        return searched(kept)[0]

    def next_poll(self, sections: Sections, kept: Sequence[Job]) -> Sections:
        first_from = (
            next((job for job in kept if job.score >= section.start), None)
            for section in sections.watched
        )
        return sections.seen([*kept[:1], *(job for job in first_from if job is not None)])

    def starts(self, sections: Sections) -> Iterable[int]:
        return [section.start for section in sections.watched]

    def test_nothing_new(self) -> None:
        sections = self.watched(self.KEPT)
        assert self.next_poll(sections, self.KEPT) == sections

    def test_nothing_left(self) -> None:
        assert self.watched(self.KEPT).seen([]) == Sections()

    def test_a_more_urgent_job_hides_nothing(self) -> None:
        """The section that was the most urgent one is searched for at the same poll."""
        kept = jobs(score(5), score(6))
        sections = self.next_poll(self.watched(kept), jobs(score(2), score(5), score(6)))
        assert sections.gaps == (Gap(score(3, 0), score(6, 0)),)

    def test_a_watched_section_that_becomes_the_most_urgent_one(self) -> None:
        sections = self.next_poll(self.watched(self.KEPT), self.KEPT[1:])
        assert not sections.outdated
        assert self.starts(sections) == [score(3), score(4)]

    def test_another_first_job_of_a_watched_section(self) -> None:
        """Others may be older than that one."""
        kept = [*self.KEPT[:2], Job(b"other", score(3, 2)), *self.KEPT[3:]]
        assert self.next_poll(self.watched(self.KEPT), kept).outdated

    def test_another_first_job_when_all_are_watched(self) -> None:
        kept = jobs(score(1), score(2), score(3))
        other = [*kept[:2], Job(b"other", score(3, 2))]
        assert not self.next_poll(self.watched(kept), other).outdated

    def test_a_watched_section_without_jobs(self) -> None:
        kept = [*self.KEPT[:2], *self.KEPT[3:]]
        sections = self.next_poll(self.watched(self.KEPT), kept)
        assert sections.outdated
        assert self.starts(sections) == [score(2), score(4)]

    def test_a_search_is_not_repeated_while_nothing_happens(self) -> None:
        sections = Sections().seen(self.KEPT[:1]).begin(self.KEPT[-1], 8, (10, 10))
        while sections.gaps:
            sections, _ = poll(sections, self.KEPT)
        sections = self.next_poll(sections, self.KEPT)
        assert not sections.may_be_outdated((10, 10))
        assert sections.may_be_outdated((11, 11))
        assert sections.may_be_outdated(None)
        # the oldest one may have got another priority, which is no event
        assert self.next_poll(sections, self.KEPT[1:]).may_be_outdated((10, 10))
