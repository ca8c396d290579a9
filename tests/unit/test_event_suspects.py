"""Jobs that the events make suspicious: found in fixed memory, whatever else happens."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.state.event_suspects import EventSuspects, HeavyHitters, Redeliveries


@given(st.lists(st.integers(0, 12)), st.integers(1, 6))
def test_frequent_keys_are_kept_and_no_count_is_too_small(keys: list[int], capacity: int) -> None:
    hitters, exact = HeavyHitters(capacity), Counter[int]()
    for key in keys:
        exact[key] += 1
        assert hitters.add(key) >= exact[key]
        assert len(hitters) == min(capacity, len(exact))
    for key, count in exact.items():
        if count > len(keys) / capacity:
            # at least one more than before: it was not replaced
            assert hitters.add(key) > count


def test_counts_are_exact_while_there_is_room() -> None:
    hitters = HeavyHitters(3)
    assert [hitters.add(key) for key in "abacaba"] == [1, 1, 2, 1, 3, 2, 4]


def test_a_poison_job_is_found_among_ordinary_retries() -> None:
    suspects = EventSuspects(Redeliveries())
    for stall in range(3):
        for retry in range(10_000):
            suspects.retried(b"%d-%d" % (stall, retry))
        suspects.stalled(b"poison")
    assert suspects.recurring[-1] == b"poison"


def test_one_return_is_not_suspicious() -> None:
    suspects = EventSuspects(Redeliveries())
    suspects.stalled(b"1")
    suspects.retried(b"1")
    assert (suspects.recurring, suspects.noted) == ((), 0)


def test_the_most_recent_ones_of_a_queue_are_kept() -> None:
    suspects = EventSuspects(Redeliveries())
    for number in range(30):
        suspects.deduplicated(b"%d" % number)
    assert suspects.held_deduplications == tuple(b"%d" % number for number in range(20, 30))


def test_queues_have_jobs_of_the_same_id() -> None:
    redeliveries = Redeliveries()
    first, second = EventSuspects(redeliveries), EventSuspects(redeliveries)
    first.stalled(b"1")
    second.stalled(b"1")
    assert (first.recurring, second.recurring) == ((), ())


def test_a_recreated_stream_starts_over() -> None:
    suspects = EventSuspects(Redeliveries())
    for _ in range(2):
        suspects.stalled(b"1")
        suspects.deduplicated(b"x")
    suspects.reset()
    assert (suspects.recurring, suspects.held_deduplications) == ((), ())
