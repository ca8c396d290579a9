"""One table for everything: what was measured, against which floor, and whether that is enough."""

from __future__ import annotations

import sys
from dataclasses import dataclass

NAME_WIDTH = 58


@dataclass(frozen=True)
class Line:
    """A measurement and its target."""

    name: str
    value: float
    unit: str
    target: float
    floor: float | None = None
    """What it is measured against in the same run; the target is a ratio to it then."""
    at_least: bool = False
    """Whether more is better."""

    @property
    def compared(self) -> float:
        """What the target is about: the ratio to the floor, or the value."""
        return self.value if self.floor is None else self.value / self.floor

    @property
    def passed(self) -> bool:
        """Whether the target is met."""
        return self.compared >= self.target if self.at_least else self.compared <= self.target


def show(title: str, lines: list[Line]) -> None:
    """Print a part of the table."""
    print(f"\n{title}")
    print(f"{'':{NAME_WIDTH}}{'measured':>12} {'':9}{'floor':>9}{'ratio':>7}{'target':>9}")
    for line in lines:
        floor = f"{line.floor:9.2f}{line.compared:7.1f}" if line.floor else f"{'':16}"
        sign = ">=" if line.at_least else "<="
        verdict = "pass" if line.passed else "MISS"
        print(
            f"{line.name:{NAME_WIDTH}}{line.value:12,.2f} {line.unit:9}{floor}"
            f"{sign:>4}{line.target:<7g}{verdict}"
        )


def progress(text: str) -> None:
    """What is going on, for the person who waits."""
    print(f"... {text}", file=sys.stderr, flush=True)
