"""The soak report's count of missed polls."""

from __future__ import annotations

import pytest

from tests.soak.report import Outage, Report
from tests.soak.vitals import Poll, Vitals


@pytest.mark.parametrize(
    ("polls", "found"),
    [
        ([(0, 1), (1, 2), (2, 3), (3, 4)], "0 of 3"),
        ([(0, 1), (1.7, 2), (2, 3), (3, 4)], "0 of 3"),  # late
        ([(0, 1), (3, 4)], "0 of 3"),  # two were not observed
        ([(0, 1), (3, 2), (4, 3)], "2 of 4"),
        ([(0, 1), (1, 2), (20, 3), (21, 4)], "0 of 2"),  # none is due in the outage
    ],
)
def test_missed_polls(polls: list[tuple[float, int]], found: str) -> None:
    vitals = Vitals(polls=[Poll(at, number) for at, number in polls])
    report = Report(1.0, vitals, [Outage("killed", 9, 17.5)], {}, {}, {})
    row = report._missed_polls()
    assert row.found == found
    assert row.passed == found.startswith("0")
