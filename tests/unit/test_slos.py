"""Judging a queue by its SLOs: each job, and the time in which nothing moves."""

from __future__ import annotations

import pytest

from exporter.collectors.events.aggregator import Entry, EventAggregator
from exporter.collectors.events.by_job_name import JobNameAggregator
from exporter.collectors.events.slos import QueueSlos
from exporter.config.models import Slo
from exporter.state.snapshots import SloCounts

START = Slo(match="*", start_within="30s", objective=99.5)
RUN = Slo(match="*", run_within="2h", objective=99)
BOUNDS = ((1.0,), (1.0,))


def event_entry(event: str, job: str, at: float, **fields: str) -> Entry:
    """An entry of a stream, at this time in seconds."""
    texts = ["event", event, "jobId", job, *(text for field in fields.items() for text in field)]
    return (f"{at * 1000:.0f}-0".encode(), [text.encode() for text in texts])


def counted(slos: QueueSlos) -> list[SloCounts]:
    """The counts, of which the first look shows none."""
    slos.facts()
    return [each.counts for each in slos.facts()]


def judged(*events: tuple[str, float], slo: Slo = START, **fields: str) -> SloCounts:
    """What a job counts that has these events at these seconds."""
    slos = QueueSlos([slo])
    aggregator = EventAggregator(*BOUNDS, slos=slos)
    aggregator.feed([event_entry(event, "1", at, **fields) for event, at in events])
    aggregator.count_retry()
    (counts,) = counted(slos)
    return counts


@pytest.mark.parametrize(("started", "late"), [(30.0, 0), (30.001, 1)])
def test_a_start_is_judged_exactly(started: float, late: int) -> None:
    """By the times in the stream and not by the buckets of a histogram."""
    assert judged(("waiting", 0), ("active", started)) == (1, late, 0, 0)


@pytest.mark.parametrize("end", ["completed", "failed", "delayed"])
@pytest.mark.parametrize(("ended", "late"), [(7200.0, 0), (7200.001, 1)])
def test_a_run_is_judged_however_it_ends(end: str, ended: float, late: int) -> None:
    assert judged(("active", 0), (end, ended), slo=RUN) == (1, late, 0, 0)


def test_a_retry_ends_a_run() -> None:
    retried = [("active", 0.0), ("waiting", 7201.0), ("active", 7202.0)]
    assert judged(*retried, slo=RUN, prev="active") == (1, 1, 0, 0)


def test_what_was_not_seen_is_not_judged() -> None:
    assert judged(("active", 100)) == (0, 0, 0, 0)
    assert judged(("completed", 100), slo=RUN) == (0, 0, 0, 0)
    stalled = [("active", 0.0), ("failed", 9000.0)]
    text = "job stalled more than allowable limit"
    assert judged(*stalled, slo=RUN, failedReason=text) == (0, 0, 0, 0)


def test_all_job_names_of_a_queue_are_judged_together() -> None:
    slos = QueueSlos([START, RUN])
    aggregator = JobNameAggregator(*BOUNDS, 10, slos=slos)
    for job, name in (("1", "a"), ("2", "b")):
        aggregator.feed(
            [
                event_entry("added", job, 0, name=name),
                event_entry("waiting", job, 0),
                event_entry("active", job, 31),
                event_entry("completed", job, 32),
            ]
        )
    assert counted(slos) == [(2, 2, 0, 0), (2, 0, 0, 0)]


class TestTime:
    def counts(
        self, *polls: tuple[float | None, float | None, bool], slo: Slo = START
    ) -> tuple[float, float]:
        """Known and late seconds of polls every 5 s, with the ages of ready and of due jobs, and
        whether a job was started, or ended."""
        slos = QueueSlos([slo])
        for age, overdue, moved in polls:
            if moved:
                slos.started(None)
                slos.ended(None)
            slos.advance(5, age, overdue, age)
        return counted(slos)[0][2:]

    def test_a_stuck_queue_is_late_from_the_target_on(self) -> None:
        assert self.counts((29, 0, False), (32, 0, False), (37, 0, False)) == (15, 7)

    def test_an_idle_queue_is_in_time(self) -> None:
        assert self.counts((0, 0, False), (0, 0, False)) == (10, 0)

    def test_a_queue_that_gets_on_is_in_time_however_old_its_oldest_job(self) -> None:
        """Its jobs are judged one by one."""
        assert self.counts((3600, 0, True), (3605, 0, True)) == (10, 0)

    def test_a_due_delayed_job_could_start(self) -> None:
        assert self.counts((0, 37, False)) == (5, 5)
        assert self.counts((0, 37, False), slo=RUN) == (5, 0)

    def test_the_age_of_the_oldest_run(self) -> None:
        assert self.counts((7202, 0, False), (7207, 0, False), slo=RUN) == (10, 7)

    def test_an_unknown_age_is_neither_in_time_nor_late(self) -> None:
        assert self.counts((None, 0, False), (0, None, False), (None, None, False)) == (0, 0)

    def test_what_is_known_suffices(self) -> None:
        assert self.counts((None, 40, False)) == (5, 5)
        assert self.counts((None, None, True)) == (5, 0)

    def test_a_start_in_unknown_time_does_not_count_for_the_next(self) -> None:
        slos = QueueSlos([START])
        slos.started(None)
        slos.skip()
        slos.advance(5, 60, 0, 0)
        assert counted(slos) == [(0, 0, 5, 5)]


def test_the_first_look_shows_zeros() -> None:
    """Prometheus needs an earlier sample for an increase."""
    slos = QueueSlos([START])
    slos.started(31_000)
    (first,), (second,) = slos.facts(), slos.facts()
    assert first.counts == SloCounts()
    assert second.counts == (1, 1, 0, 0)
    assert (second.name, second.objective, second.target_seconds) == (
        "all-start-within-30s",
        0.995,
        30,
    )
