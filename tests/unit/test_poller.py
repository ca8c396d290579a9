"""The schedule of polls."""

from __future__ import annotations

import pytest

from exporter.polling.poller import next_start


@pytest.mark.parametrize(
    ("what", "started", "due"),
    [
        ("on time", 100.0, 115.0),
        ("a thread that wakes up late", 100.3, 115.0),
        ("a poll that took longer than the interval", 116.0, 131.0),
        ("a lost Redis that is reached again early", 92.0, 107.0),
    ],
)
def test_start_of_the_next_poll(what: str, started: float, due: float) -> None:
    assert next_start(100.0, started, 15.0) == due, what


def test_late_wake_ups_do_not_accumulate() -> None:
    planned = 0.0
    for _ in range(1000):
        planned = next_start(planned, planned + 0.4, 1.0)
    assert planned == 1000.0
