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
        jobs * 4, 0, {"": JobEvents(jobs, jobs, jobs, 0, 0, 0, times, {"completed": times})}
    )


def text(writer: EventWriter, events: dict[Queue, QueueEvents]) -> list[tuple[str, bytes]]:
    lines: dict[str, bytes] = {}
    for family, piece in writer.lines(EventFacts(events, 0.0, 0), QUEUES):
        lines[family.name] = lines.get(family.name, b"") + (piece.text if piece else b"")
    return list(lines.items())


# each writes hundreds of queues anew, several times
@settings(max_examples=30)
@given(st.lists(Changes, min_size=1, max_size=4))
def test_after_any_changes(changes: list[dict[int, int]]) -> None:
    events = dict.fromkeys(QUEUES, job_events(1))
    kept = EventWriter("api")
    text(kept, events)
    for change in changes:
        events = events | {QUEUES[row]: job_events(jobs) for row, jobs in change.items()}
        assert text(kept, events) == text(EventWriter("api"), events)


def test_what_has_not_changed_is_not_written_again() -> None:
    events = dict.fromkeys(QUEUES, job_events(1))
    writer = EventWriter("api")
    before = list(writer.lines(EventFacts(events, 0.0, 0), QUEUES))
    last = {QUEUES[-1]: job_events(2)}
    after = list(writer.lines(EventFacts(events | last, 0.0, 0), QUEUES))
    durations = [
        (old is new)
        for (family, old), (_, new) in zip(before, after, strict=True)
        if family.name.endswith("seconds") and family.name.startswith("bullmq_job")
    ]
    assert durations == [True, True, False] * 2
