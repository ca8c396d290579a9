"""Families of the event streams: what is kept between two pages is what would be written anew."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.bullmq import Queue, queue_of
from exporter.exposition.events import EventWriter
from exporter.state.snapshots import EventFacts, Histogram, JobEvents, QueueEvents

QUEUES = tuple(queue_of("bull", f"100%s {{0}} q{row}") for row in range(250))
BOUNDS = (0.5, 1.0)

Changes = st.dictionaries(st.integers(0, len(QUEUES) - 1), st.integers(0, 5), max_size=6)


def job_events(jobs: int) -> QueueEvents:
    times = Histogram(BOUNDS, (jobs, jobs), jobs * 0.25, jobs)
    return QueueEvents(
        jobs * 4, 0, {"": JobEvents(jobs, jobs, jobs, 0, 0, 0, 0, 0, times, {"completed": times})}
    )


def text(writer: EventWriter, events: dict[Queue, QueueEvents]) -> list[tuple[str, bytes]]:
    lines: dict[str, bytes] = {}
    for family, piece in writer.lines(EventFacts(events, 0.0, 0), QUEUES):
        lines[family.name] = lines.get(family.name, b"") + (piece.text if piece else b"")
    return list(lines.items())


def begun(events: dict[Queue, QueueEvents]) -> EventWriter:
    """A writer whose series have begun."""
    writer = EventWriter("api")
    text(writer, events)
    return writer


# each writes hundreds of queues anew, several times
@settings(max_examples=30)
@given(st.lists(Changes, min_size=1, max_size=4))
def test_after_any_changes(changes: list[dict[int, int]]) -> None:
    events = dict.fromkeys(QUEUES, job_events(1))
    kept = begun(events)
    for change in changes:
        events = events | {QUEUES[row]: job_events(jobs) for row, jobs in change.items()}
        text(kept, events)
        assert text(kept, events) == text(begun(events), events)


def test_what_has_not_changed_is_not_written_again() -> None:
    events = dict.fromkeys(QUEUES, job_events(1))
    writer = begun(events)
    before = list(writer.lines(EventFacts(events, 0.0, 0), QUEUES))
    last = {QUEUES[-1]: job_events(2)}
    after = list(writer.lines(EventFacts(events | last, 0.0, 0), QUEUES))
    durations = [
        (old is new)
        for (family, old), (_, new) in zip(before, after, strict=True)
        if family.name.endswith("seconds") and family.name.startswith("bullmq_queue_job_")
    ]
    assert durations == [True, True, False] * 2


class TestSeriesBeginAtZero:
    """Prometheus sees no increase in the first sample of a series."""

    ADDED = (
        b'bullmq_queue_jobs_added_total{connection="api",prefix="bull",queue="q",job_name="%b"} %d'
    )
    READ = b'bullmq_queue_events_read_total{connection="api",prefix="bull",queue="q"} %d'
    TIMED = (
        b"bullmq_queue_job_wait_seconds_count"
        b'{connection="api",prefix="bull",queue="q",job_name=""} %d'
    )

    def events(self, **jobs: int) -> QueueEvents:
        times = Histogram(BOUNDS, (9, 9), 1.0, 9)
        by_name = {
            name: JobEvents(count, 0, 0, 0, 0, 0, 0, 0, times, {"completed": times})
            for name, count in jobs.items()
        }
        return QueueEvents(sum(jobs.values()), 0, by_name)

    def page(self, writer: EventWriter, facts: EventFacts, *, hidden: bool = False) -> set[bytes]:
        queues = () if hidden else (self.QUEUE,)
        pieces = [piece for _, piece in writer.lines(facts, queues) if piece is not None]
        return set(b"".join(piece.text for piece in pieces).splitlines())

    QUEUE = queue_of("bull", "q")

    def facts(self, **jobs: int) -> EventFacts:
        return EventFacts({self.QUEUE: self.events(**jobs)}, 0.0, 0)

    def test_for_one_poll(self) -> None:
        writer, facts = EventWriter("api"), self.facts(a=3)
        for _ in range(2):  # the same poll, also if another connection has another page rendered
            assert {self.ADDED % (b"a", 0), self.READ % 0} <= self.page(writer, facts)
        # the next poll, without any change
        facts = EventFacts(facts.queues, 0.0, 0)
        assert {self.ADDED % (b"a", 3), self.READ % 3} <= self.page(writer, facts)

    def test_a_name_that_comes_later(self) -> None:
        writer = EventWriter("api")
        self.page(writer, self.facts(a=3))
        expected = {self.ADDED % (b"a", 4), self.ADDED % (b"b", 0), self.READ % 6}
        assert expected <= self.page(writer, self.facts(a=4, b=2))
        expected = {self.ADDED % (b"a", 4), self.ADDED % (b"b", 5)}
        assert expected <= self.page(writer, self.facts(a=4, b=5))

    def test_histograms_that_come_with_the_first_event(self) -> None:
        writer = EventWriter("api")
        empty = EventFacts({self.QUEUE: QueueEvents(0, 0, self.events(**{"": 0}).jobs)}, 0.0, 0)
        assert self.ADDED % (b"", 0) in self.page(writer, empty)
        expected = {self.ADDED % (b"", 1), self.TIMED % 0}
        assert expected <= self.page(writer, self.facts(**{"": 1}))
        assert self.TIMED % 9 in self.page(writer, self.facts(**{"": 1}))

    def test_a_queue_that_was_hidden_goes_on(self) -> None:
        """A 0 in between would look like a reset, and count everything again."""
        writer = EventWriter("api")
        self.page(writer, self.facts(a=3))
        self.page(writer, self.facts(a=3))
        assert self.ADDED % (b"a", 3) not in self.page(writer, self.facts(a=3), hidden=True)
        assert self.ADDED % (b"a", 4) in self.page(writer, self.facts(a=4))

    def test_a_queue_that_was_gone_begins_again(self) -> None:
        writer = EventWriter("api")
        self.page(writer, self.facts(a=3))
        self.page(writer, EventFacts({}, 0.0, 0))
        self.page(writer, EventFacts({}, 0.0, 0))
        assert self.ADDED % (b"a", 0) in self.page(writer, self.facts(a=1))
