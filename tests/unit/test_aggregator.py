"""Event aggregation of the sequences that each BullMQ version writes."""

from __future__ import annotations

import gc
import itertools
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collectors.events.aggregator import OUTCOMES, Entry, EventAggregator
from exporter.state.snapshots import JobEvents

BUCKETS = (0.01, 0.1, 1.0, 10.0)

Event = tuple[object, ...]
"""Milliseconds, event, job ID, then further fields and their values in turn."""


def entry(ms: int, event: str, job: str | None = "1", *more: str) -> Entry:
    fields = ["event", event, *(["jobId", job] if job is not None else []), *more]
    return (f"{ms}-0".encode(), [text.encode() for text in fields])


def aggregated(*events: Event, ended: bool = True) -> JobEvents:
    aggregator = EventAggregator(BUCKETS, BUCKETS)
    aggregator.feed([entry(*event) for event in events])
    if ended:
        aggregator.count_retry()
    return aggregator.frozen()


def counts(events: JobEvents) -> dict[str, int]:
    names = ("added", "started", "completed", "failed", "retried", "stalled")
    names += ("duplicated", "deduplicated")
    return {name: getattr(events, name) for name in names if getattr(events, name)}


def durations(events: JobEvents) -> dict[str, tuple[int, float]]:
    """Count and sum of each histogram that has observations."""
    found = {"wait": events.wait, **events.runs}
    return {name: (h.count, round(h.sum, 3)) for name, h in found.items() if h.count}


def test_a_long_job_id_is_remembered_by_its_hash() -> None:
    job = "x" * 1000
    aggregator = EventAggregator(BUCKETS, BUCKETS)
    aggregator.feed([entry(0, "waiting", job), entry(100, "active", job)])
    assert [len(known) for known in aggregator._active] == [32]
    aggregator.feed([entry(600, "completed", job)])
    assert durations(aggregator.frozen()) == {"wait": (1, 0.1), "completed": (1, 0.5)}


ADDED = ((0, "added", "1", "name", "task"), (0, "waiting"))


@pytest.mark.parametrize(
    ("what", "events", "expected_counts", "expected_durations"),
    [
        (
            "success",
            (
                *ADDED,
                (100, "active"),
                (400, "completed", "1", "returnvalue", "null"),
                (400, "drained", None),
            ),
            {"added": 1, "started": 1, "completed": 1},
            {"wait": (1, 0.1), "completed": (1, 0.3)},
        ),
        (
            "delayed: the delay does not count as waiting",
            (
                (0, "added"),
                (0, "delayed", "1", "delay", "5000"),
                (5000, "waiting", "1", "prev", "delayed"),
                (5100, "active"),
                (5200, "completed"),
            ),
            {"added": 1, "started": 1, "completed": 1},
            {"wait": (1, 0.1), "completed": (1, 0.1)},
        ),
        (
            "retry with backoff, then final failure",
            (
                *ADDED,
                (100, "active"),
                (300, "delayed", "1", "delay", "800"),
                (800, "waiting", "1", "prev", "delayed"),
                (900, "active"),
                (950, "failed", "1", "failedReason", "no"),
                (950, "retries-exhausted"),
            ),
            {"added": 1, "started": 2, "failed": 1, "retried": 1},
            {"wait": (2, 0.2), "retried": (1, 0.2), "failed": (1, 0.05)},
        ),
        (
            "duplicates: nothing is added",
            (*ADDED, (10, "duplicated"), (100, "active"), (400, "completed"), (500, "duplicated")),
            {"added": 1, "started": 1, "completed": 1, "duplicated": 2},
            {"wait": (1, 0.1), "completed": (1, 0.3)},
        ),
        (
            "deduplicated, as BullMQ 5 writes it",
            (
                *ADDED,
                (10, "debounced", "1", "debounceId", "x"),
                (10, "deduplicated", "1", "deduplicationId", "x", "deduplicatedJobId", "2"),
                (100, "active"),
                (400, "completed"),
            ),
            {"added": 1, "started": 1, "completed": 1, "deduplicated": 1},
            {"wait": (1, 0.1), "completed": (1, 0.3)},
        ),
        (
            "a duplicate while a job that was active waits for its `stalled`",
            (
                *ADDED,
                (100, "active"),
                (300, "waiting", "1", "prev", "active"),
                (300, "stalled"),
                (310, "duplicated"),
                (400, "active"),
                (500, "completed"),
            ),
            {"added": 1, "started": 2, "completed": 1, "stalled": 1, "duplicated": 1},
            {"wait": (2, 0.2), "completed": (1, 0.1)},
        ),
        (
            "retry at once, from 5.58.6 on",
            (
                *ADDED,
                (100, "active"),
                (300, "waiting", "1", "prev", "active"),
                (400, "active"),
                (500, "completed"),
            ),
            {"added": 1, "started": 2, "completed": 1, "retried": 1},
            {"wait": (2, 0.2), "retried": (1, 0.2), "completed": (1, 0.1)},
        ),
        (
            "retry at once, before",
            (
                *ADDED,
                (100, "active"),
                (300, "waiting", "1", "prev", "failed"),
                (400, "active"),
                (500, "completed"),
            ),
            {"added": 1, "started": 2, "completed": 1, "retried": 1},
            {"wait": (2, 0.2), "retried": (1, 0.2), "completed": (1, 0.1)},
        ),
        (
            "stalled once: no retry, and the lost run has no duration",
            (
                *ADDED,
                (100, "active"),
                (30_000, "waiting", "1", "prev", "active"),
                (30_000, "stalled"),
                (30_100, "active"),
                (30_200, "completed"),
            ),
            {"added": 1, "started": 2, "completed": 1, "stalled": 1},
            {"wait": (2, 0.2), "completed": (1, 0.1)},
        ),
        (
            "stalled too often, versions 3 and 4",
            (
                *ADDED,
                (100, "active"),
                (
                    30_000,
                    "failed",
                    "1",
                    "failedReason",
                    "job stalled more than allowable limit",
                    "prev",
                    "active",
                ),
            ),
            {"added": 1, "started": 1, "failed": 1},
            {"wait": (1, 0.1)},
        ),
        (
            "stalled too often, later versions",
            (
                *ADDED,
                (100, "active"),
                (30_000, "waiting", "1", "prev", "active"),
                (30_000, "stalled"),
                (30_001, "active"),
                (30_002, "failed", "1", "failedReason", "job stalled more than allowable limit"),
            ),
            {"added": 1, "started": 2, "failed": 1, "stalled": 1},
            {"wait": (2, 0.101)},
        ),
        (
            "put back for a rate limit, versions 3 and 4",
            (*ADDED, (100, "active"), (101, "waiting"), (600, "active"), (700, "completed")),
            {"added": 1, "started": 2, "completed": 1},
            {"wait": (2, 0.599), "completed": (1, 0.1)},
        ),
        (
            "flow parent",
            (
                (0, "added"),
                (0, "waiting-children"),
                (5000, "waiting", "1", "prev", "waiting-children"),
                (5100, "active"),
                (5300, "completed"),
            ),
            {"added": 1, "started": 1, "completed": 1},
            {"wait": (1, 0.1), "completed": (1, 0.2)},
        ),
        (
            "flow parent failed by a child, versions 3 and 4",
            (
                (0, "added"),
                (0, "waiting-children"),
                (900, "failed", "1", "failedReason", "child x failed", "prev", "waiting-children"),
            ),
            {"added": 1, "failed": 1},
            {},
        ),
        (
            "flow parent failed by a child, versions 5 and 6",
            (
                (0, "added"),
                (0, "waiting-children"),
                (900, "waiting", "1", "prev", "waiting-children"),
                (901, "active"),
                (902, "failed", "1", "failedReason", "child"),
            ),
            {"added": 1, "started": 1, "failed": 1},
            {"wait": (1, 0.001)},
        ),
        (
            "manual retry of a failed job",
            (
                *ADDED,
                (100, "active"),
                (200, "failed", "1", "failedReason", "no"),
                (900, "waiting", "1", "prev", "failed"),
                (1000, "active"),
                (1100, "completed"),
            ),
            {"added": 1, "started": 2, "failed": 1, "completed": 1},
            {"wait": (2, 0.2), "failed": (1, 0.1), "completed": (1, 0.1)},
        ),
        (
            "removed, then added again under the same ID",
            (*ADDED, (50, "removed", "1", "prev", "wait"), (900, "active")),
            {"added": 1, "started": 1},
            {},
        ),
        (
            "paused queue",
            ((0, "paused", None), *ADDED, (0, "resumed", None), (700, "active")),
            {"added": 1, "started": 1},
            {"wait": (1, 0.7)},
        ),
        ("start missed", ((500, "completed"),), {"completed": 1}, {}),
        (
            "waiting missed",
            ((0, "active"), (100, "completed")),
            {"started": 1, "completed": 1},
            {"completed": (1, 0.1)},
        ),
        (
            "custom events",
            ((0, "my-event", "1", "x", "y"), (0, "progress", "1", "data", "5")),
            {},
            {},
        ),
        (
            "the clock was set back",
            ((1000, "added"), (1000, "waiting"), (950, "active")),
            {"added": 1, "started": 1},
            {"wait": (1, 0.0)},
        ),
        (
            "moved to waiting-children by its processor",
            (
                *ADDED,
                (100, "active"),
                (200, "waiting-children", "1", "prev", "active"),
                (900, "waiting", "1", "prev", "waiting-children"),
                (950, "active"),
                (999, "completed"),
            ),
            {"added": 1, "started": 2, "completed": 1},
            {"wait": (2, 0.15), "completed": (1, 0.049)},
        ),
    ],
)
def test_counts_and_durations_of_a_sequence(
    what: str,
    events: tuple[Event, ...],
    expected_counts: dict[str, int],
    expected_durations: dict[str, tuple[int, float]],
) -> None:
    found = aggregated(*events)
    assert counts(found) == expected_counts, what
    assert durations(found) == expected_durations, what


def test_a_stall_split_over_two_pages_is_no_retry() -> None:
    aggregator = EventAggregator(BUCKETS, BUCKETS)
    events = [*ADDED, (100, "active"), (9000, "waiting", "1", "prev", "active")]
    aggregator.feed([entry(*event) for event in events])
    aggregator.feed([entry(9000, "stalled")])
    aggregator.count_retry()
    assert counts(aggregator.frozen()) == {"added": 1, "started": 1, "stalled": 1}


def test_fields_may_come_in_any_order() -> None:
    aggregator = EventAggregator(BUCKETS, BUCKETS)
    aggregator.feed([(b"5-0", [b"jobId", b"1", b"event", b"added", b"name", b"x"]), (b"6-0", [])])
    assert counts(aggregator.frozen()) == {"added": 1}


class TestMemory:
    def test_finished_jobs_are_forgotten(self) -> None:
        aggregator = EventAggregator(BUCKETS, BUCKETS)
        for number in range(1000):
            job = str(number)
            aggregator.feed([entry(0, "waiting", job), entry(1, "active", job)])
            aggregator.feed([entry(2, ("completed", "failed", "removed")[number % 3], job)])
        assert aggregator.inflight == 0

    def test_delayed_and_parked_jobs_are_not_remembered(self) -> None:
        aggregator = EventAggregator(BUCKETS, BUCKETS)
        for number in range(1000):
            aggregator.feed([entry(0, "added", str(number)), entry(0, "delayed", str(number))])
            aggregator.feed([entry(0, "waiting-children", f"p{number}")])
        assert aggregator.inflight == 0

    def test_the_oldest_job_is_forgotten_first(self) -> None:
        aggregator = EventAggregator(BUCKETS, BUCKETS)
        aggregator.feed(
            [entry(5, "active", "a"), entry(7, "waiting", "b"), entry(9, "active", "c")]
        )
        assert aggregator.oldest_ms == 5
        aggregator.forget_oldest()
        assert (aggregator.oldest_ms, aggregator.inflight) == (7, 2)
        aggregator.forget_oldest()
        aggregator.forget_oldest()
        aggregator.forget_oldest()
        assert aggregator.inflight == 0

    def test_memory_does_not_grow_with_finished_jobs(self) -> None:
        aggregator = EventAggregator(BUCKETS, BUCKETS)
        self.feed(aggregator, range(1000))
        before = blocks()
        self.feed(aggregator, range(1000, 10_000))
        assert aggregator.frozen().completed == 10_000
        # larger numbers, but nothing per job
        assert blocks() - before < 100

    def feed(self, aggregator: EventAggregator, jobs: range) -> None:
        for job in jobs:
            steps = ("added", "waiting", "active", "completed")
            aggregator.feed([entry(job, step, str(job)) for step in steps])
            assert aggregator.inflight == 0


def blocks() -> int:
    """Allocated memory blocks, without garbage."""
    gc.collect()
    return sys.getallocatedblocks()


EVENTS = st.sampled_from(
    ("added", "waiting", "active", "completed", "failed", "delayed", "stalled", "removed")
    + ("waiting-children", "drained", "progress", "retries-exhausted", "cleaned", "nonsense")
)
PREVIOUS = st.sampled_from((None, "active", "failed", "delayed", "waiting-children", "completed"))
SEQUENCES = st.lists(
    st.tuples(EVENTS, st.integers(0, 5), PREVIOUS, st.integers(0, 40)), max_size=80
)


@settings(max_examples=300)
@given(SEQUENCES, st.sets(st.integers(0, 80)), st.integers(0, 80))
def test_counters_never_fall_for_any_sequence_with_gaps(
    sequence: list[tuple[str, int, str | None, int]], gaps: set[int], reset_at: int
) -> None:
    """Nothing is negative, and no more jobs are remembered than events named."""
    aggregator = EventAggregator(BUCKETS, BUCKETS)
    before: dict[str, int] = {}
    now = itertools.accumulate((step for *_, step in sequence), initial=0)
    for place, (moment, (event, job, previous, _)) in enumerate(zip(now, sequence, strict=False)):
        if place in gaps:
            continue
        if place == reset_at:
            aggregator.reset()
        more = ("prev", previous) if previous else ()
        aggregator.feed([entry(moment, event, str(job), *more)])
        found = aggregator.frozen()
        after = counts(found)
        assert all(after.get(name, 0) >= count for name, count in before.items())
        assert aggregator.inflight <= 6
        assert found.wait.sum >= 0
        assert all(found.runs[outcome].sum >= 0 for outcome in OUTCOMES)
        assert found.wait.count <= found.started
        before = after
