"""Whether ready work moves, from one poll to the next."""

from __future__ import annotations

import pytest

from exporter.collectors.queues.subjects.movement import MovementSigns, has_moved
from exporter.collectors.queues.subjects.prioritized import Job

BEFORE = MovementSigns(b"1", Job(b"p1", 5.0), b"a", (3, 1))


@pytest.mark.parametrize(
    ("what", "seen", "waiting", "expected"),
    [
        ("nothing changed", BEFORE, (b"2", b"1"), False),
        (
            "the next job was taken",
            MovementSigns(b"2", Job(b"p1", 5.0), b"a", (3, 1)),
            (b"2",),
            True,
        ),
        (
            "a job was put in front of it",
            MovementSigns(b"9", Job(b"p1", 5.0), b"a", (3, 1)),
            (b"1", b"9"),
            False,
        ),
        ("one was completed", MovementSigns(b"1", Job(b"p1", 5.0), b"a", (4, 1)), (b"1",), True),
        ("one has failed", MovementSigns(b"1", Job(b"p1", 5.0), b"a", (3, 2)), (b"1",), True),
        ("another is active", MovementSigns(b"1", Job(b"p1", 5.0), b"b", (3, 1)), (b"1",), True),
        (
            "the active one is gone",
            MovementSigns(b"1", Job(b"p1", 5.0), None, (3, 1)),
            (b"1",),
            False,
        ),
        (
            "a more urgent one came",
            MovementSigns(b"1", Job(b"p0", 4.0), b"a", (3, 1)),
            (b"1",),
            False,
        ),
        (
            "the most urgent one was taken",
            MovementSigns(b"1", Job(b"p2", 6.0), b"a", (3, 1)),
            (b"1",),
            True,
        ),
        ("the last prioritized was taken", MovementSigns(b"1", None, b"a", (3, 1)), (b"1",), True),
    ],
)
def test_moved(what: str, seen: MovementSigns, waiting: tuple[bytes, ...], expected: bool) -> None:
    assert has_moved(BEFORE, seen, waiting) is expected, what
