"""What goes through the demo's queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Load:
    """What goes through a queue."""

    every_seconds: float
    """Mean time between two jobs."""
    work_seconds: float
    """Mean time that a job takes."""
    failing: float = 0.0
    """Share of the attempts that fail."""
    options: tuple[dict[str, Any], ...] = ({},)
    """Options of the jobs, chosen at random."""


QUEUES: Final = {
    "emails": Load(0.2, 0.1, options=({}, {"delay": 3000}, {"removeOnComplete": True})),
    "images": Load(0.5, 0.55, options=({}, {"priority": 5}, {"priority": 1})),
    "reports": Load(
        1.5,
        1.0,
        failing=0.3,
        options=({"attempts": 3, "backoff": {"type": "fixed", "delay": 2000}}, {}),
    ),
}

# finished jobs are kept, but not for ever
KEEP: Final = {"removeOnComplete": {"count": 500}, "removeOnFail": {"count": 100}}
