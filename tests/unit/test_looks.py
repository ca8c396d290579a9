"""The budget of looks at stuck jobs: what it grants, and that it is kept in the long run."""

from __future__ import annotations

import pytest

from exporter.collectors.queues.looks import LookBudget
from exporter.state.stuck import StuckKind

INTERVAL = 5.0
SHARE = 0.01
EARNED = SHARE * INTERVAL * 1e6
"""What a poll earns, in microseconds."""
PARENT, POISON = StuckKind.PARENT, StuckKind.POISON


class Polls:
    """Polls of a budget."""

    def __init__(self) -> None:
        self.budget = LookBudget(SHARE, INTERVAL)
        self.now = 1000.0
        self.budget.begin_poll(self.now)

    def poll(self, seconds: float = INTERVAL) -> None:
        self.now += seconds
        self.budget.begin_poll(self.now)

    def look(self, kind: StuckKind, looks: int, microseconds: float) -> int:
        granted = self.budget.grant(kind, looks, microseconds)
        self.budget.spend(granted * microseconds)
        return granted


@pytest.fixture
def polls() -> Polls:
    return Polls()


def test_few_looks_are_all_granted(polls: Polls) -> None:
    for _ in range(100):
        assert all(polls.look(kind, 9, 100.0) == 9 for kind in (PARENT, POISON))
        polls.poll()
    assert polls.budget.totals.redis_seconds == pytest.approx(100 * 18 * 100e-6)
    assert polls.budget.totals.cut == 0


def test_many_looks_take_their_share_of_the_time(polls: Polls) -> None:
    start = polls.now
    for _ in range(1000):
        polls.look(PARENT, 10_000, 50.0)
        polls.poll()
    share = polls.budget.totals.redis_seconds / (polls.now - start)
    assert SHARE / 2 <= share <= SHARE * 1.01
    assert polls.budget.totals.cut > 1_000_000


def test_no_kind_waits_for_another(polls: Polls) -> None:
    for _ in range(100):
        assert polls.look(PARENT, 10_000, 50.0) > 100
        assert polls.look(POISON, 10, 50.0) == 10
        polls.poll()


def test_what_one_kind_leaves_is_for_the_others(polls: Polls) -> None:
    for _ in range(10):
        polls.poll()
    assert polls.look(PARENT, 10_000, 50.0) * 50.0 > EARNED / 2


def test_a_look_that_takes_more_than_there_is_is_made_and_paid_for_later(polls: Polls) -> None:
    assert polls.look(PARENT, 2, 10 * EARNED) == 1
    for _ in range(8):
        polls.poll()
        assert polls.look(POISON, 1, 1.0) == 0
    polls.poll()
    polls.poll()
    assert polls.look(POISON, 1, 1.0) == 1


def test_time_without_polls_is_not_saved_up(polls: Polls) -> None:
    polls.poll(seconds=100_000)
    assert polls.look(PARENT, 1_000_000, 1.0) <= 2 * EARNED


def test_what_a_look_has_taken_counts_not_what_it_reserved(polls: Polls) -> None:
    for _ in range(100):
        assert polls.budget.grant(PARENT, 100, EARNED / 300) == 100
        polls.budget.spend(1.0)
        polls.poll()
    assert polls.budget.totals.redis_seconds == pytest.approx(100e-6)
