"""Families of the event streams: cached lines equal newly rendered ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.bullmq import Queue, queue_of
from exporter.exposition import Format
from exporter.exposition.events import EventWriter
from exporter.exposition.samples import Samples
from exporter.state.snapshots import EventFacts, Histogram, JobEvents, QueueEvents
from exporter.state.unfinished_jobs import Audit, Rebase

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
    for family, samples in writer.samples(EventFacts(events, 0.0, 0), QUEUES, 1e9):
        lines[family.name] = lines.get(family.name, b"") + text_of(samples)
    return list(lines.items())


def text_of(samples: Samples | None, form: Format = Format.TEXT) -> bytes:
    part = b"" if samples is None else samples.part(form)
    return part if isinstance(part, bytes) else part.text


def started_writer(events: dict[Queue, QueueEvents]) -> EventWriter:
    """A writer whose series have had their first sample."""
    writer = EventWriter("api")
    text(writer, events)
    return writer


# each example renders hundreds of queues several times
@settings(max_examples=30)
@given(st.lists(Changes, min_size=1, max_size=4))
def test_cached_lines_equal_new_ones_after_any_changes(changes: list[dict[int, int]]) -> None:
    events = dict.fromkeys(QUEUES, job_events(1))
    writer = started_writer(events)
    for change in changes:
        events = events | {QUEUES[row]: job_events(jobs) for row, jobs in change.items()}
        text(writer, events)
        assert text(writer, events) == text(started_writer(events), events)


def test_unchanged_queues_are_not_rendered_again() -> None:
    events = dict.fromkeys(QUEUES, job_events(1))
    writer = started_writer(events)
    before = list(writer.samples(EventFacts(events, 0.0, 0), QUEUES, 1e9))
    last = {QUEUES[-1]: job_events(2)}
    after = list(writer.samples(EventFacts(events | last, 0.0, 0), QUEUES, 1e9))
    durations = [
        (old is new)
        for (family, old), (_, new) in zip(before, after, strict=True)
        if family.name.endswith("seconds") and family.name.startswith("bullmq_queue_job_")
    ]
    assert durations == [True, True, False] * 2


class TestSeriesStartAtZero:
    """Prometheus cannot see an increase in the first sample of a series."""

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
        found = [text_of(samples) for _, samples in writer.samples(facts, queues, 1e9)]
        return set(b"".join(found).splitlines())

    QUEUE = queue_of("bull", "q")

    def facts(self, **jobs: int) -> EventFacts:
        return EventFacts({self.QUEUE: self.events(**jobs)}, 0.0, 0)

    def test_the_first_poll_of_a_series_shows_zero(self) -> None:
        writer, facts = EventWriter("api"), self.facts(a=3)
        for _ in range(2):  # the same poll, even if another connection causes another page
            assert {self.ADDED % (b"a", 0), self.READ % 0} <= self.page(writer, facts)
        # the next poll, without changes
        facts = EventFacts(facts.queues, 0.0, 0)
        assert {self.ADDED % (b"a", 3), self.READ % 3} <= self.page(writer, facts)

    def test_a_queue_without_events_has_a_beginning_too(self) -> None:
        """With job names, it has no series of jobs yet."""
        writer, empty = EventWriter("api"), EventFacts({self.QUEUE: QueueEvents(0, 0, {})}, 0.0, 0)
        assert self.READ % 0 in self.page(writer, empty)
        expected = {self.ADDED % (b"a", 0), self.READ % 3, self.TIMED.replace(b'""', b'"a"') % 0}
        assert expected <= self.page(writer, self.facts(a=3))

    def test_a_later_job_name_starts_at_zero(self) -> None:
        writer = EventWriter("api")
        self.page(writer, self.facts(a=3))
        expected = {self.ADDED % (b"a", 4), self.ADDED % (b"b", 0), self.READ % 6}
        assert expected <= self.page(writer, self.facts(a=4, b=2))
        expected = {self.ADDED % (b"a", 4), self.ADDED % (b"b", 5)}
        assert expected <= self.page(writer, self.facts(a=4, b=5))

    def test_a_histogram_starts_at_zero_with_the_first_event(self) -> None:
        writer = EventWriter("api")
        empty = EventFacts({self.QUEUE: QueueEvents(0, 0, self.events(**{"": 0}).jobs)}, 0.0, 0)
        assert self.ADDED % (b"", 0) in self.page(writer, empty)
        expected = {self.ADDED % (b"", 1), self.TIMED % 0}
        assert expected <= self.page(writer, self.facts(**{"": 1}))
        assert self.TIMED % 9 in self.page(writer, self.facts(**{"": 1}))

    def test_a_later_rebase_starts_at_zero(self) -> None:
        writer, facts = EventWriter("api"), self.facts(a=3)

        def page(**rebases: int) -> set[bytes]:
            audit = Audit(2, rebases={Rebase(name): count for name, count in rebases.items()})
            audited = replace(facts.queues[self.QUEUE], audit=audit)
            return self.page(writer, EventFacts({self.QUEUE: audited}, 0.0, 0))

        labels = b'connection="api",prefix="bull",queue="q"'
        line = b"bullmq_queue_audit_rebases_total{" + labels + b',reason="%b"} %d'
        unaccounted = b"bullmq_queue_jobs_unaccounted{" + labels + b"} 2"
        page()
        assert {line % (b"clean", 0), unaccounted} <= page(clean=1)
        assert {line % (b"clean", 1), line % (b"drain", 0)} <= page(clean=1, drain=2)
        assert {line % (b"clean", 1), line % (b"drain", 2)} <= page(clean=1, drain=2)

    def test_a_hidden_queue_continues_its_counters(self) -> None:
        """A 0 in between would look like a reset, and all events would count again."""
        writer = EventWriter("api")
        self.page(writer, self.facts(a=3))
        self.page(writer, self.facts(a=3))
        assert self.ADDED % (b"a", 3) not in self.page(writer, self.facts(a=3), hidden=True)
        assert self.ADDED % (b"a", 4) in self.page(writer, self.facts(a=4))

    def test_a_deleted_queue_starts_at_zero_again(self) -> None:
        writer = EventWriter("api")
        self.page(writer, self.facts(a=3))
        self.page(writer, EventFacts({}, 0.0, 0))
        self.page(writer, EventFacts({}, 0.0, 0))
        assert self.ADDED % (b"a", 0) in self.page(writer, self.facts(a=1))
