"""Columns of text, aligned on terminals also where characters are twice as wide."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

_GAP = "  "


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row as a line; the first and the last column are left-aligned, numbers right-aligned."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blanks = " " * (width - cell_len(cell))
            cells.append(cell + blanks if place in (0, last) else blanks + cell)
        lines.append(_GAP.join(cells).rstrip())
    return lines
