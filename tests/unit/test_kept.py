"""Kept finished jobs: how they grow, and when the memory is full at that rate."""

from __future__ import annotations

import pytest

from exporter.bullmq import Queue, queue_of
from exporter.diagnosis import full_in_seconds
from exporter.state.history import Entry, Past, kept_rates
from exporter.state.kept import KeptColumns, KeptJobs
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import ServerFacts
from tests.support.tables import queue_table

MAIL, ETL = queue_of("bull", "mail"), queue_of("bull", "etl")


def table(*counts: tuple[int | None, int | None], queues: tuple[Queue, ...] = ()) -> QueueTable:
    rows = [{"completed": completed, "failed": failed} for completed, failed in counts]
    return queue_table(queues or (MAIL, ETL)[: len(rows)], rows)


def entry(at: float, found: QueueTable | None = None, **server: float) -> Entry:
    kept = KeptJobs.of_columns(found.queues, found.kept) if found is not None else None
    rest = () if kept is None else (kept,)
    return Entry(at, {}, {}, {}, {}, server, *rest)


def test_growth_over_all_that_is_known() -> None:
    past = (entry(0, table((0, 5))), entry(300, table((900, 5))))
    assert kept_rates(past, 600, table((1000, 0)), 0) == (100.0, -0.5)


@pytest.mark.parametrize(
    ("past", "now"),
    [
        pytest.param((), table((1, 1)), id="nothing is remembered"),
        pytest.param((entry(0),), table((1, 1)), id="the queue is new"),
        pytest.param((entry(560, table((0, 0))),), table((1, 1)), id="less than a minute"),
        pytest.param((entry(0, table((0, 0))),), table((None, 1)), id="unknown now"),
        pytest.param((entry(0, table((0, None))),), table((1, 1)), id="unknown then"),
    ],
)
def test_unknown_growth(past: Past, now: QueueTable) -> None:
    assert kept_rates(past, 600, now, 0) is None


def test_a_queue_in_another_row_than_before() -> None:
    past = (entry(0, table((7, 0), (100, 0), queues=(ETL, MAIL))),)
    assert kept_rates(past, 60, table((160, 0)), 0) == (60.0, 0.0)


def test_a_very_large_number_fits() -> None:
    kept = KeptJobs.of_columns((MAIL,), KeptColumns([1 << 40], [0]))
    assert kept.of(MAIL, 0) == ((1 << 31) - 1, 0)


def used(start: float, growth: float, seconds: int = 1800) -> tuple[Past, ServerFacts]:
    """The past and the present of a memory that grows by this many bytes a second."""
    past = tuple(entry(at, memory_used_bytes=start + growth * at) for at in range(0, seconds, 150))
    values = {"memory_used_bytes": start + growth * seconds, "memory_max_bytes": 10_000.0}
    return past, ServerFacts({}, values, {})


def test_when_the_memory_is_full() -> None:
    past, server = used(1000, 1.0)
    assert full_in_seconds(past, server, 1800) == pytest.approx(7200)


def test_a_full_memory_is_full_now() -> None:
    past, server = used(9000, 1.0)
    assert full_in_seconds(past, server, 1800) == 0


def test_it_is_unknown_when() -> None:
    past, server = used(9000, -1.0)
    assert full_in_seconds(past, server, 1800) is None
    past, server = used(1000, 1.0, seconds=800)
    assert full_in_seconds(past, server, 800) is None
    past, server = used(1000, 1.0)
    for values in ({"memory_used_bytes": 1.0, "memory_max_bytes": 0.0}, {"memory_max_bytes": 9.0}):
        assert full_in_seconds(past, ServerFacts({}, values, {}), 1800) is None
    assert full_in_seconds((), server, 1800) is None
