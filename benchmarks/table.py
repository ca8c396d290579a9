"""The table of results: measurement, floor, ratio and target."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

NAME_WIDTH = 60


@dataclass(frozen=True)
class Line:
    """A measurement with its target."""

    name: str
    value: float
    unit: str
    target: float | None
    """The limit for `compared`; None if the value is only reported."""
    floor: float | None = None
    """The least cost of the same work, from the same run; `target` is then a ratio to it."""
    at_least: bool = False
    """Whether the target is a minimum, not a maximum."""
    worst: float | None = None
    """The worst value of the run, if `value` is a median."""

    @property
    def compared(self) -> float:
        """The ratio to the floor, or the value without a floor; the target applies to this."""
        return self.value if self.floor is None else self.value / self.floor

    @property
    def passed(self) -> bool:
        """Whether the target is met."""
        if self.target is None:
            return True
        return self.compared >= self.target if self.at_least else self.compared <= self.target


@dataclass(frozen=True)
class Note:
    """A line of text in the table."""

    text: str


def show(lines: Sequence[Line | Note]) -> None:
    """Print the table."""
    print(f"{'':{NAME_WIDTH}}{'measured':>11} {'':3}{'floor':>9}{'ratio':>7}{'target':>9}")
    for line in lines:
        print(line.text if isinstance(line, Note) else _row(line))
    targets = [each for each in lines if isinstance(each, Line) and each.target is not None]
    print(f"\n{sum(line.passed for line in targets)} of {len(targets)} targets met")


def _row(line: Line) -> str:
    floor = "" if line.floor is None else f"{line.floor:9,.2f}{_ratio(line.compared)}"
    worst = "" if line.worst is None else f"  worst {line.worst:,.2f}"
    return (
        f"{line.name:{NAME_WIDTH}}{line.value:11,.2f} {line.unit:3}{floor:16}"
        f"{_verdict(line)}{worst}"
    ).rstrip()


def _ratio(value: float) -> str:
    return f"{value:7.1f}" if value >= 1 else f"{value:7.2f}"


def _verdict(line: Line) -> str:
    if line.target is None:
        return f"{'':15}"
    sign = ">=" if line.at_least else "<="
    return f"{sign:>4} {line.target:<6.3g}{'pass' if line.passed else 'MISS'}"


def progress(text: str) -> None:
    """Print the current step to stderr."""
    print(f"... {text}", file=sys.stderr, flush=True)
