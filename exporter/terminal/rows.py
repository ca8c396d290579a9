"""Aligned rows on standard output: wrapped and colored on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_ENDLESS: Final = 1_000_000
"""The width of a file or a pipe: each row is one line there, which programs can search."""


class Rows:
    """Prints lines, and rows of a mark, a name and a detail."""

    def __init__(self) -> None:
        self._console = Console(
            width=None if sys.stdout.isatty() else _ENDLESS,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def line(self, text: str, style: str = "") -> None:
        """A line, as it is."""
        self._console.print(text, style=style, soft_wrap=True)

    def row(self, mark: str, name: str, detail: str, style: str = "") -> None:
        """A row, `  ok    login          as default`, with its mark in that style."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(min_width=7, no_wrap=True)
        grid.add_column(min_width=14, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(f"  {mark}", style=style), Text(name), Text(detail))
        self._console.print(grid)
