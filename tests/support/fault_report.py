"""The measurements of each fault, compared with the idle exporter, as a table.

Nothing here is asserted, because seconds depend on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.observer import Observation, percentile


@dataclass(frozen=True)
class Measured:
    """The measurements of a fault, as plain values that can be sent between processes."""

    fault: str
    errors: str
    recovery_seconds: float
    """From the end of the fault until a page is complete again."""
    recovery_polls: int
    """Polls that ended in that time."""
    pages: int
    p95_seconds: float
    """Of the pages from the start of the fault until a page is complete again."""
    worst_seconds: float
    idle_p95_seconds: float
    """The same for the idle exporter's pages, requested at the same times."""
    idle_worst_seconds: float


measured: list[Measured] = []
"""The measurements since it was cleared; reported with each test."""


def measure(
    fault: str, errors: str, recovery: tuple[float, int], seen: Sequence[Observation]
) -> None:
    """Record the measurements of a fault: its recovery in seconds and in polls, and its pages."""
    times, idle = [each.seconds for each in seen], [each.idle_seconds for each in seen]
    measured.append(
        Measured(
            fault,
            errors,
            *recovery,
            len(seen),
            percentile(times, 0.95),
            max(times),
            percentile(idle, 0.95),
            max(idle),
        )
    )


_HEADS = ("fault", "errors", "recovery", "polls", "pages", "p95", "worst", "idle p95", "idle worst")


def table(rows: Sequence[Measured]) -> Iterator[str]:
    """Lines with aligned columns, sorted by fault."""
    cells = [_HEADS, *(_cells(row) for row in sorted(rows, key=lambda row: row.fault.lower()))]
    widths = [max(len(row[place]) for row in cells) for place in range(len(_HEADS))]
    for row in cells:
        texts = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        texts += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        yield "  ".join(texts).rstrip()


def _cells(row: Measured) -> tuple[str, ...]:
    pages = (row.p95_seconds, row.worst_seconds, row.idle_p95_seconds, row.idle_worst_seconds)
    return (
        row.fault,
        row.errors or "none",
        f"{row.recovery_seconds:.2f} s",
        str(row.recovery_polls),
        str(row.pages),
        *(f"{seconds * 1000:.0f} ms" for seconds in pages),
    )
