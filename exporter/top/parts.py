"""Lines that both screens have: the title, the verdict and the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from exporter.findings import Status
from exporter.top.text import safe

MARKS: Final = {
    Status.CRITICAL: ("✖", "bold red"),
    Status.WARNING: ("!", "bold yellow"),
    Status.UNKNOWN: ("…", "bold cyan"),
    Status.INFO: ("i", "bold blue"),
    Status.OK: ("✓", "bold green"),
}
"""As on the status page, with a style."""


def between(left: Text, right: str, width: int) -> Text:
    """One line with a text on the left, cut if necessary, and one on the right."""
    room = max(0, width - len(right) - 1)
    left.truncate(room, overflow="ellipsis", pad=True)
    line = Text.assemble(left, " ", right)
    line.truncate(width)
    return line


def title(text: str, clock: str, width: int) -> Text:
    """The first line."""
    line = Text("BullMQ", style="bold")
    line.append(f"  {text}", style="not bold")
    return between(line, clock, width)


def verdict_line(status: Status, headline: str, width: int) -> Text:
    """How bad it is, and the sentence that says so."""
    mark, style = MARKS[status]
    line = Text(f"{mark} {safe(headline)}", style=style)
    line.truncate(width, overflow="ellipsis")
    return line


def keys_line(keys: Sequence[tuple[str, str]], right: str, width: int) -> Text:
    """The last line: what each key does. Those that do not fit are left out, the last one first."""
    shown = list(keys)
    while len(shown) > 1 and _length(shown) > width - len(right) - 1:
        shown.pop()
    line = Text()
    for key, does in shown:
        line.append(key, style="bold")
        line.append(f" {does}  ")
    return between(line, right, width)


def _length(keys: Sequence[tuple[str, str]]) -> int:
    return sum(len(key) + len(does) + 3 for key, does in keys)
