"""Events per minute, out of totals at two times."""

from __future__ import annotations

import pytest

from exporter.bullmq import queue_of
from exporter.state.history import Entry, Past, Rates, counts_of, extend_past, rates, window
from exporter.state.snapshots import Dated, EventFacts, JobEvents, QueueEvents, Snapshot
from tests.support.factories import NO_DURATIONS, snapshot

MAIL = queue_of("bull", "mail")


def told(added: int, completed: int = 0, failed: int = 0, **others: int) -> QueueEvents:
    """A queue's events; `others` are those added under another job name."""
    jobs = {"": JobEvents(added, 0, completed, failed, 0, 0, 0, 0, NO_DURATIONS, {})}
    jobs |= {
        name: JobEvents(n, 0, 0, 0, 0, 0, 0, 0, NO_DURATIONS, {}) for name, n in others.items()
    }
    return QueueEvents(added + completed + failed + sum(others.values()), 0, jobs)


def at(moment: float, events: QueueEvents | None = None) -> Entry:
    queues = {MAIL: counts_of(events)} if events is not None else {}
    return Entry(moment, queues, {}, {}, {}, {})


def seen(moment: float, events: QueueEvents) -> Snapshot:
    facts = EventFacts({MAIL: events}, 0.0, 0)
    return snapshot(at=moment, facts={EventFacts: Dated(facts, moment)})


def test_growth_over_the_time_between_summed_over_job_names() -> None:
    past = (at(100, told(10, 5, 1, other=3)),)
    assert rates(past, 130, MAIL, told(20, 6, 1, other=5)) == Rates(24.0, 2.0, 0.0)


def test_no_news_is_a_known_zero() -> None:
    assert rates((at(100, told(10)),), 130, MAIL, told(10)) == Rates(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("past", "now"),
    [((), 100), ((at(100),), 130), ((at(100, told(1)),), 102)],
    ids=["no past", "a queue that is new", "hardly any time"],
)
def test_what_is_not_known(past: Past, now: float) -> None:
    assert rates(past, now, MAIL, told(2)) is None


def test_a_queue_that_came_later_is_measured_from_then() -> None:
    past = (at(100), at(120, told(4)))
    assert rates(past, 130, MAIL, told(5)) == Rates(6.0, 0.0, 0.0)


def test_totals_that_began_anew() -> None:
    assert rates((at(0, told(100)),), 60, MAIL, told(3)) == Rates(3.0, 0.0, 0.0)


def test_half_an_hour_is_remembered_in_few_steps() -> None:
    past: Past = ()
    for moment in range(0, 7200, 2):
        past = extend_past(past, seen(float(moment), told(moment)))
        for seconds in (60, 600, 900, 1800):
            if moment > seconds + 200:
                assert seconds <= moment - window(past, moment, seconds)[0].at <= seconds + 170
    assert len(past) <= 20


def test_what_does_not_change_is_kept_once() -> None:
    past: Past = ()
    for moment in range(0, 120, 20):
        past = extend_past(past, seen(float(moment), told(7)))
    assert len({id(entry.queues[MAIL]) for entry in past}) == 1


def test_after_a_gap_the_rate_is_that_of_the_whole_gap() -> None:
    past = extend_past((at(0, told(0)),), seen(600, told(100)))
    assert rates(past, 600, MAIL, told(100)) == Rates(10.0, 0.0, 0.0)
