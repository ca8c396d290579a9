"""Detection of movement of ready jobs from one poll to the next."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.collectors.queues.subjects.movement import MovementSigns, has_moved
from exporter.collectors.queues.subjects.sections import Job

BEFORE = MovementSigns((b"9", b"3", b"2", b"1"), 4, b"1", b"9", Job(b"p1", 5.0), b"a", (3, 1))


@pytest.mark.parametrize(
    ("what", "changes", "expected"),
    [
        ("nothing changed", {}, False),
        ("the next job was taken", {"waiting": (b"9", b"3", b"2"), "next_job": b"2"}, True),
        ("all were taken", {"waiting": (), "waiting_count": 0, "next_job": None}, True),
        (
            "more were taken than were read, and as many added",
            {"waiting": (b"17", b"7", b"6"), "next_job": b"6", "last_job": b"17"},
            True,
        ),
        (
            "more were taken, and even more added",
            {
                "waiting": (b"30", b"7", b"6"),
                "waiting_count": 10,
                "next_job": b"6",
                "last_job": b"30",
            },
            True,
        ),
        (
            "a job was added in front of the next one",
            {"waiting": (b"9", b"2", b"1", b"5"), "waiting_count": 5, "next_job": b"5"},
            False,
        ),
        (
            "many jobs were added in front of the next one",
            {"waiting": (b"9", b"7", b"8", b"5"), "waiting_count": 12, "next_job": b"5"},
            False,
        ),
        ("a job was completed", {"finished": (4, 1)}, True),
        ("a job has failed", {"finished": (3, 2)}, True),
        ("another job is active", {"newest_active": b"b"}, True),
        ("the active job is gone", {"newest_active": None}, False),
        ("a more urgent job was added", {"first_prioritized": Job(b"p0", 4.0)}, False),
        ("the most urgent job was taken", {"first_prioritized": Job(b"p2", 6.0)}, True),
        ("the last prioritized job was taken", {"first_prioritized": None}, True),
    ],
)
def test_has_moved(what: str, changes: dict[str, Any], expected: bool) -> None:
    assert has_moved(BEFORE, BEFORE._replace(**changes)) is expected, what
