"""Rates per minute from totals at two times."""

from __future__ import annotations

import pytest

from exporter.bullmq import queue_of
from exporter.state.history import Entry, Past, Rates, counts_of, extend_past, grown, rates, window
from exporter.state.snapshots import Dated, EventFacts, JobEvents, QueueEvents, Snapshot
from tests.support.factories import NO_DURATIONS, snapshot

MAIL = queue_of("bull", "mail")


def events(added: int, completed: int = 0, failed: int = 0, **others: int) -> QueueEvents:
    """A queue's totals; `others` are jobs added, by job name."""
    jobs = {"": JobEvents(added, 0, completed, failed, 0, 0, 0, 0, NO_DURATIONS, {})}
    jobs |= {
        name: JobEvents(n, 0, 0, 0, 0, 0, 0, 0, NO_DURATIONS, {}) for name, n in others.items()
    }
    return QueueEvents(added + completed + failed + sum(others.values()), 0, jobs)


def at(moment: float, found: QueueEvents | None = None) -> Entry:
    queues = {MAIL: counts_of(found)} if found is not None else {}
    return Entry(moment, queues, {}, {}, {}, {})


def seen(moment: float, found: QueueEvents) -> Snapshot:
    facts = EventFacts({MAIL: found}, 0.0, 0)
    return snapshot(at=moment, facts={EventFacts: Dated(facts, moment)})


def test_rates_are_summed_over_job_names() -> None:
    past = (at(100, events(10, 5, 1, other=3)),)
    assert rates(past, 130, MAIL, events(20, 6, 1, other=5)) == Rates(24.0, 2.0, 0.0)


def test_unchanged_totals_are_a_known_zero() -> None:
    assert rates((at(100, events(10)),), 130, MAIL, events(10)) == Rates(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("past", "now"),
    [((), 100), ((at(100),), 130), ((at(100, events(1)),), 102)],
    ids=["no past", "a queue that is new", "hardly any time"],
)
def test_rates_without_an_earlier_total_are_unknown(past: Past, now: float) -> None:
    assert rates(past, now, MAIL, events(2)) is None


def test_a_later_queue_is_measured_from_its_first_total() -> None:
    past = (at(100), at(120, events(4)))
    assert rates(past, 130, MAIL, events(5)) == Rates(6.0, 0.0, 0.0)


def test_totals_that_restarted_count_from_zero() -> None:
    assert rates((at(0, events(100)),), 60, MAIL, events(3)) == Rates(3.0, 0.0, 0.0)


def test_half_an_hour_is_remembered_in_at_most_20_entries() -> None:
    past: Past = ()
    for moment in range(0, 7200, 2):
        past = extend_past(past, seen(float(moment), events(moment)))
        for seconds in (60, 600, 900, 1800):
            if moment > seconds + 200:
                assert seconds <= moment - window(past, moment, seconds)[0].at <= seconds + 170
    assert len(past) <= 20


def test_unchanged_totals_are_stored_once() -> None:
    past: Past = ()
    for moment in range(0, 120, 20):
        past = extend_past(past, seen(float(moment), events(7)))
    assert len({id(entry.queues[MAIL]) for entry in past}) == 1


def test_after_a_gap_the_rate_covers_the_whole_gap() -> None:
    past = extend_past((at(0, events(0)),), seen(600, events(100)))
    assert rates(past, 600, MAIL, events(100)) == Rates(10.0, 0.0, 0.0)


def test_growth_counts_from_the_first_entry_that_has_the_queue() -> None:
    calm, late, new = (queue_of("bull", name) for name in ("calm", "late", "new"))
    first = Entry(0, {MAIL: counts_of(events(4)), calm: counts_of(events(7))}, {}, {}, {}, {})
    second = Entry(30, {**first.queues, late: counts_of(events(2, 1))}, {}, {}, {}, {})
    now = {MAIL: events(9, 2), calm: events(7), late: events(2, 3), new: events(5)}
    found = grown((first, second), now)
    assert {queue: (each.added, each.completed) for queue, each in found.items()} == {
        MAIL: (5, 2),
        late: (0, 2),
    }
    assert grown((), now) == {}
