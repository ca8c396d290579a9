"""The comparison of the jobs that a queue has with those that its events imply."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.events.aggregator import EventAggregator
from exporter.collectors.events.balance import Balance, Doubts, Totals
from exporter.collectors.events.by_job_name import (
    JobNameAggregator,
    TotalAggregator,
    totals_of,
)
from exporter.collectors.events.ledger import Count, Ledger
from exporter.state.unfinished_jobs import Audit, Rebase


class Books:
    """A ledger, and what its queue has."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.totals = Totals()

    def event(self, **changes: int) -> None:
        """Add to the totals."""
        net, doubts = self.totals
        net += changes.pop("net", 0)
        more = {name: getattr(doubts, name) + number for name, number in changes.items()}
        self.totals = Totals(net, doubts._replace(**more))

    def poll(self, jobs: int, *, drained: bool = False, evicted_keys: int | None = 0) -> Audit:
        """Compare, and settle what is to be settled."""
        self.ledger.compare(Count(jobs, 0, 0, evicted_keys), self.totals, now=100.0)
        if self.ledger.to_look_at:
            self.ledger.settle(100.0, drained=drained)
        return self.ledger.audit


def test_a_difference_is_reported_when_it_is_confirmed() -> None:
    books = Books()
    assert books.poll(10) == Audit(0)
    assert books.poll(8) == Audit(0)
    assert books.poll(8) == Audit(2, since=100.0)
    assert books.poll(8) == Audit(2, since=100.0)


def test_a_passing_difference_is_not_reported() -> None:
    books = Books()
    books.poll(10)
    for _ in range(5):
        assert books.poll(9) == Audit(0)
        assert books.poll(10) == Audit(0)
        assert books.poll(11) == Audit(0)
        assert books.poll(10) == Audit(0)


def test_only_what_two_polls_have_missed_is_reported() -> None:
    """The rest is, if the next one misses it as well."""
    books = Books()
    books.poll(10)
    books.poll(9)
    assert books.poll(5) == Audit(1, since=100.0)
    assert books.poll(5) == Audit(5, since=100.0)


def test_doubts_are_subtracted_from_what_is_reported() -> None:
    books = Books()
    books.poll(10)
    books.event(net=1, schedulers=1)
    books.poll(8)  # 11 or 10 are expected
    assert books.poll(8).unaccounted == 2
    assert books.poll(8).unaccounted == 2


@pytest.mark.parametrize(
    ("doubt", "reason"), [("schedulers", Rebase.SCHEDULER), ("retries", Rebase.RETRY)]
)
def test_a_doubt_explains_as_many_jobs(doubt: str, reason: Rebase) -> None:
    books = Books()
    books.poll(10)
    books.event(net=2, **{doubt: 2})
    assert books.poll(10) == Audit(0, rebases={reason: 1})
    books.poll(9)
    assert books.poll(9).unaccounted == 1


def test_clean_explains_any_number_once() -> None:
    books = Books()
    books.poll(10)
    books.event(cleaned=1)
    assert books.poll(4) == Audit(0, rebases={Rebase.CLEAN: 1})
    books.poll(3)
    assert books.poll(3).unaccounted == 1


def test_clean_of_finished_jobs_changes_nothing() -> None:
    books = Books()
    books.poll(10)
    books.event(cleaned=1)
    assert books.poll(10) == Audit(0)
    books.poll(9)
    assert books.poll(9).unaccounted == 1


def test_drain_is_not_reported() -> None:
    books = Books()
    books.poll(10)
    books.poll(3)
    assert books.poll(3, drained=True) == Audit(0, rebases={Rebase.DRAIN: 1})
    assert books.poll(3) == Audit(0, rebases={Rebase.DRAIN: 1})


def test_evicted_jobs_are_not_drained() -> None:
    books = Books()
    books.poll(10)
    books.poll(3, evicted_keys=4)
    assert books.poll(3, drained=True, evicted_keys=9) == Audit(7, since=100.0, evicted=9)


def test_unknown_evictions() -> None:
    books = Books()
    books.poll(10, evicted_keys=None)
    books.poll(8, evicted_keys=None)
    assert books.poll(8, evicted_keys=None) == Audit(2, since=100.0, evicted=None)


def test_reports_survive_rebases_of_others() -> None:
    books = Books()
    books.poll(10)
    books.poll(8)
    books.poll(8)
    books.event(cleaned=1)
    assert books.poll(5) == Audit(2, since=100.0, rebases={Rebase.CLEAN: 1})


@pytest.mark.parametrize("reason", [Rebase.RESTART, Rebase.LOST_EVENTS, Rebase.ROLLBACK])
def test_a_restart_forgets_what_was_missing(reason: Rebase) -> None:
    books = Books()
    books.poll(10)
    books.poll(8)
    books.poll(8)
    books.ledger.restart(reason, books.totals, 200.0)
    rolled_back = 200.0 if reason is Rebase.ROLLBACK else None
    assert books.ledger.audit == Audit(None, rolled_back=rolled_back, rebases={reason: 1})
    assert books.poll(3) == Audit(0, rolled_back=rolled_back, rebases={reason: 1})


def test_a_deleted_stream() -> None:
    """Jobs that the new stream does not explain were there before."""
    for jobs, reason in ((3, Rebase.OBLITERATE), (4, Rebase.STREAM_DELETED)):
        books = Books()
        books.poll(10)
        books.ledger.restart(Rebase.OBLITERATE, books.totals, 200.0)
        books.event(net=3)
        assert books.poll(jobs) == Audit(0, rebases={reason: 1})


def test_evicted_with_its_stream() -> None:
    books = Books()
    books.poll(10, evicted_keys=5)
    books.ledger.restart(Rebase.OBLITERATE, books.totals, 200.0)
    found = books.poll(1, evicted_keys=9)
    assert found == Audit(9, since=100.0, evicted=4, rebases={Rebase.STREAM_DELETED: 1})


def test_a_report_ends_after_an_hour() -> None:
    books = Books()
    books.poll(10)
    books.poll(8)
    books.poll(8)
    assert not books.ledger.expire(100.0 + 3599)
    assert books.ledger.expire(100.0 + 3600)
    assert books.poll(8) == Audit(0, rebases={Rebase.REPORTED: 1})
    books.poll(7)
    assert books.poll(7).unaccounted == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_every_loss_is_reported_within_two_polls(steps: Sequence[tuple[int, int]]) -> None:
    """And only losses, whatever happens meanwhile."""
    books, jobs, lost = Books(), 100, [0, 0]
    books.poll(jobs)
    for added, gone in steps:
        books.event(net=added)
        jobs += added - gone
        lost.append(lost[-1] + gone)
        found = books.poll(jobs).unaccounted
        assert found is not None
        assert lost[-3] <= found <= lost[-1]
    books.poll(jobs)
    assert books.poll(jobs).unaccounted == lost[-1]


class TestBalance:
    @pytest.fixture(params=["total", "job_names"])
    def balanced(self, request: pytest.FixtureRequest) -> TotalAggregator | JobNameAggregator:
        balance = Balance()
        if request.param == "job_names":
            return JobNameAggregator((1.0,), (1.0,), 10, balance=balance)
        return TotalAggregator(
            lambda: EventAggregator((1.0,), (1.0,), balance=balance), {}, balance=balance
        )

    @staticmethod
    def totals(
        balanced: TotalAggregator | JobNameAggregator, *events: str, beyond: int = 0
    ) -> Totals | None:
        """Before the last `beyond` events, like `added 1` or `removed 1 wait`."""
        entries = []
        for number, text in enumerate(events):
            name, job, *previous = text.split()
            fields = [b"event", name.encode(), b"jobId", job.encode()]
            if name == "cleaned":
                fields = [b"event", b"cleaned", b"count", job.encode()]
            fields += [b"prev", previous[0].encode()] if previous else []
            entries.append((b"%d-0" % (number + 1), fields))
        return balanced.feed(entries, beyond)

    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            (("added 1", "waiting 1", "active 1"), Totals(1)),
            (("added 1", "waiting-children 1", "duplicated 1", "stalled 1"), Totals(1)),
            (("added 1", "waiting 1", "active 1", "completed 1"), Totals(0)),
            (("active 1", "failed 1"), Totals(-1)),
            (("removed 1 wait", "removed 2 waiting-children", "removed 3 active"), Totals(-3)),
            (("removed 1 completed", "removed 2 failed", "removed 3 unknown"), Totals()),
            (("cleaned 7",), Totals(0, Doubts(cleaned=1))),
            (("waiting 1 failed", "waiting 2 completed"), Totals(2)),
            # versions 3 and 4 retry with `prev` failed
            (("active 1", "waiting 1 failed", "active 1", "waiting 1 active"), Totals()),
            (("delayed 1", "waiting 1 delayed", "waiting 2 waiting-children"), Totals()),
            (("added repeat:s:1",), Totals(1, Doubts(schedulers=1))),
            (("added repeat:s:1", "added repeat:s:2"), Totals(2, Doubts(schedulers=2))),
            (
                ("added repeat:s:1", "active repeat:s:1", "added repeat:s:2"),
                Totals(2, Doubts(0, 1)),
            ),
            (
                ("added repeat:s:1", "removed repeat:s:1 delayed", "added repeat:s:2"),
                Totals(1, Doubts(0, 1)),
            ),
            (
                ("added repeat:s:1", "active repeat:s:1", "waiting repeat:s:1 active")
                + ("added repeat:s:2",),
                Totals(2, Doubts(0, 2)),
            ),
            # one that was put back may be replaced, though the last one is active
            (
                ("added repeat:s:1", "waiting repeat:s:0 completed", "active repeat:s:1")
                + ("added repeat:s:2",),
                Totals(3, Doubts(0, 2)),
            ),
            # a retried iteration is started again: the next one is still waiting
            (
                ("added repeat:s:1", "active repeat:s:1", "added repeat:s:2")
                + ("active repeat:s:1", "added repeat:s:3"),
                Totals(3, Doubts(0, 2)),
            ),
        ],
    )
    def test_events(
        self,
        balanced: TotalAggregator | JobNameAggregator,
        events: tuple[str, ...],
        expected: Totals,
    ) -> None:
        assert self.totals(balanced, *events) is None
        assert totals_of(balanced) == expected

    def test_jobs_active_since_before(self, balanced: TotalAggregator | JobNameAggregator) -> None:
        """Versions 3 and 4 retry them with `prev` failed, as if they had failed for good."""
        balanced.balance.before |= {b"1": True, b"2": True}
        events = ("waiting 1 failed", "failed 2", "waiting 2 failed", "waiting 3 failed")
        self.totals(balanced, *events)
        assert totals_of(balanced) == Totals(1)
        balanced.balance.forgotten = 1
        self.totals(balanced, "failed 9", "waiting 4 failed")
        assert totals_of(balanced) == Totals(1, Doubts(retries=1))

    def test_totals_before_the_last_events(
        self, balanced: TotalAggregator | JobNameAggregator
    ) -> None:
        events = ("added 1", "added 2", "removed 1 wait", "cleaned 3", "added 3")
        assert self.totals(balanced, *events, beyond=3) == Totals(2)
        assert totals_of(balanced) == Totals(2, Doubts(cleaned=1))
