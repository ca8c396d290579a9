"""A screen of lines that are scrolled: what it is about, the verdict, the lines and the keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment

from exporter.findings import Status
from exporter.top.parts import keys_line, title, verdict_line
from exporter.top.session import Session

_OTHER_LINES = 3
"""Title, verdict and keys."""
_KEYS = (("q", "quit"), ("Esc", "all queues"), ("↑↓ PgUp PgDn", "scroll"))


class _Lines:
    """Lines that are rendered already."""

    def __init__(self, lines: Sequence[list[Segment]]) -> None:
        self._lines = lines

    def __rich_console__(self, _: Console, __: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()


def scrolled_screen(
    name: str,
    clock: str,
    status: Status,
    headline: str,
    parts: Iterable[RenderableType],
    session: Session,
    console: Console,
) -> Group:
    """The whole screen; takes over into the session which lines are shown."""
    width, height = console.size
    height -= _OTHER_LINES
    lines = console.render_lines(Group(*parts), console.options.update(height=None), pad=False)
    first = session.show_lines(len(lines), height)
    shown = lines[first : first + height]
    return Group(
        title(name, clock, width),
        verdict_line(status, headline, width),
        _Lines([*shown, *[[]] * (height - len(shown))]),
        keys_line(_KEYS, f"{first + 1}-{first + len(shown)} of {len(lines)}", width),
    )
