"""Events per minute, out of totals at two times."""

from __future__ import annotations

import pytest

from exporter.bullmq import queue_of
from exporter.rates import Past, Rates, Totals, rates, remembered
from exporter.snapshot import Histogram, JobEvents, QueueEvents

MAIL = queue_of("bull", "mail")
NONE = Histogram((), (), 0.0, 0)


def told(added: int, completed: int = 0, failed: int = 0, **others: int) -> QueueEvents:
    """A queue's events; `others` are those added under another job name."""
    jobs = {"": JobEvents(added, 0, completed, failed, 0, 0, NONE, {})}
    jobs |= {name: JobEvents(n, 0, 0, 0, 0, 0, NONE, {}) for name, n in others.items()}
    return QueueEvents(0, 0, jobs)


def at(moment: float, *events: QueueEvents) -> Totals:
    return Totals(moment, dict.fromkeys([MAIL], events[0]) if events else {})


def test_growth_over_the_time_between_summed_over_job_names() -> None:
    past = (at(100, told(10, 5, 1, other=3)),)
    now = at(130, told(20, 6, 1, other=5))
    assert rates(past, now, MAIL) == Rates(24.0, 2.0, 0.0)


def test_no_news_is_a_known_zero() -> None:
    same = told(10)
    assert rates((at(100, same),), at(130, same), MAIL) == Rates(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("past", "now"),
    [
        ((), at(100, told(1))),
        ((at(100),), at(130, told(1))),
        ((at(100, told(1)),), at(130)),
        ((at(100, told(1)),), at(102, told(2))),
    ],
    ids=["no past", "a queue that is new", "no events", "hardly any time"],
)
def test_what_is_not_known(past: Past, now: Totals) -> None:
    assert rates(past, now, MAIL) is None


def test_a_queue_that_came_later_is_measured_from_then() -> None:
    past = (at(100), at(120, told(4)))
    assert rates(past, at(130, told(5)), MAIL) == Rates(6.0, 0.0, 0.0)


def test_totals_that_began_anew() -> None:
    assert rates((at(0, told(100)),), at(60, told(3)), MAIL) == Rates(3.0, 0.0, 0.0)


def test_a_minute_is_remembered_in_few_steps() -> None:
    past: Past = ()
    for moment in range(0, 600, 2):
        past = remembered(past, at(float(moment), told(moment)))
    window = 598 - past[0].at
    assert 60 <= window <= 75
    assert len(past) <= 8
    assert remembered(past, None) is past


def test_after_a_gap_the_rate_is_that_of_the_whole_gap() -> None:
    past = remembered((at(0, told(0)),), at(600, told(100)))
    assert rates(past, at(600, told(100)), MAIL) == Rates(10.0, 0.0, 0.0)
