"""What the verdict is made of: everything that is wrong or unknown, and its proofs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from exporter.findings import Verdict
from exporter.top.parts import MARKS
from exporter.top.rows import Look
from exporter.top.scrolled import scrolled_screen
from exporter.top.session import Session
from exporter.top.text import safe

_INDENT = 2


def findings_screen(look: Look, session: Session, console: Console, clock: str) -> Group:
    """The whole screen; takes over into the session which lines are shown."""
    verdict = look.known.verdict
    parts: list[RenderableType] = [Text()]
    parts += [Padding(text, (0, 0, 0, indent)) for indent, text in _lines(verdict)]
    if not verdict.groups:
        parts.append(Text("There are no findings."))
    return scrolled_screen(
        "Findings", clock, verdict.status, verdict.headline, parts, session, console
    )


def findings_panel(verdict: Verdict, width: int, height: int) -> list[Text]:
    """As many of the lines as fit, each cut to one line; the last one says how to see more."""
    lines = []
    for indent, text in _lines(verdict):
        line = Text(" " * indent).append_text(text)
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    if len(lines) > height > 0:
        left = len(lines) - height + 1
        lines[height - 1 :] = [Text(f"f shows {left:,} more line{'' if left == 1 else 's'}")]
    return lines[: max(0, height)]


def _lines(verdict: Verdict) -> Iterator[tuple[int, Text]]:
    """Lines as on the status page, each with its indent: each kind of findings, unless the headline
    has it, and what is known of it below."""
    for group in verdict.groups:
        if not verdict.headline.startswith(group.headline):
            mark, style = MARKS[group.status]
            yield 0, Text(safe(f"{mark} {group.headline}"), style=style, overflow="fold")
        for detail in group.details:
            yield _INDENT, Text(safe(detail), overflow="fold")
