"""The table of all queues."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from exporter.findings import Status
from exporter.top.columns import GAP, TREND, Column, Layout, last_seen, layout
from exporter.top.findings_screen import findings_panel
from exporter.top.parts import MARKS, keys_line, title, verdict_line
from exporter.top.rows import Look, Row, chosen
from exporter.top.session import Session
from exporter.top.text import safe, sparkline
from exporter.views.formatting import age, counted

_MARK_CELLS = 2
_OTHER_LINES = 5
"""Title, verdict, headers, the hint on the selected queue, and the keys."""
_KEYS = (
    ("q", "quit"),
    ("↑↓", "select"),
    ("Enter", "details"),
    ("s/S", "sort"),
    ("f", "findings"),
    ("/", "filter"),
    ("b", "blocked"),
    ("r", "reverse"),
)
_TYPING_KEYS = (("Enter", "keep"), ("Esc", "clear"))


def table_screen(look: Look, session: Session, width: int, height: int, clock: str) -> Group:
    """The whole screen; takes over into the session what is shown."""
    rows = chosen(
        look, session.pattern, session.sort, reverse=session.reverse, blocked=session.blocked
    )
    longest = max((cell_len(name(look, row)) for row in look.rows.values()), default=0)
    columns = layout(width - _MARK_CELLS, max(longest, len("QUEUE")))
    lines = max(1, height - _OTHER_LINES)
    selected = session.show([row.key for row in rows], lines, columns.sorts)
    shown = rows[session.first : session.first + lines]
    body: RenderableType = Text(f"\n{_why_none(look, session)}", no_wrap=True, overflow="ellipsis")
    if shown:
        body = _table(look, session, columns, shown, selected - session.first)
    hint = _hint(rows[selected]) if shown else Text()
    hint.truncate(width, overflow="ellipsis")
    verdict, free = look.known.verdict, lines - max(1, len(shown))
    # at the bottom, so that rows stay where they are when findings come and go
    panel = findings_panel(verdict, width, free - 1)
    return Group(
        title(_summary(look, session, len(rows)), clock, width),
        verdict_line(verdict.status, verdict.headline, width),
        body,
        *[Text()] * (free - len(panel)),
        *panel,
        hint,
        _last_line(session, len(rows), len(shown), width),
    )


def name(look: Look, row: Row) -> str:
    """A queue's name, with connection and prefix where there are several."""
    view = row.view
    prefix = f"{view.prefix}:" if look.several_prefixes else ""
    connection = f"{view.connection}/" if look.several_connections else ""
    return safe(f"{connection}{prefix}{view.queue}")


def _summary(look: Look, session: Session, matching: int) -> str:
    blocked = sum(row.view.reason is not None for row in look.rows.values())
    text = f"{counted(len(look.rows), 'queue')}, {blocked:,} blocked"
    if session.pattern or session.blocked:
        text += f", {matching:,} shown"
    if session.pattern:
        text += f", filter {safe(session.pattern)}"
    if session.blocked:
        text += ", blocked only"
    return f"{text}, sorted by {session.sort}{', reversed' if session.reverse else ''}"


def _why_none(look: Look, session: Session) -> str:
    if look.rows:
        what = "blocked queue" if session.blocked else "queue"
        return f"No {what} matches the filter; Esc shows all."
    return "No queues to show; see the status above."


def _table(
    look: Look, session: Session, columns: Layout, shown: Sequence[Row], selected: int
) -> Table:
    table = Table(box=None, padding=0, pad_edge=False, header_style="underline")
    table.add_column("", width=_MARK_CELLS)
    table.add_column(
        _header("QUEUE", session, "name"), width=columns.name, no_wrap=True, overflow="ellipsis"
    )
    step = 0
    trends: list[str] = []
    for row in shown if columns.trend else ():
        points, seconds = look.ready_points(row)
        step = seconds or step
        trends.append(sparkline(points, columns.trend))
    for column, width in columns.columns:
        text = column.header
        if text == TREND and step:
            text = f"{TREND} {age(columns.trend * step)}"
        table.add_column(
            Text.assemble(" " * GAP, _header(text, session, column.sort)),
            width=width + GAP,
            justify="left" if column.is_left else "right",
            no_wrap=True,
            overflow="ellipsis",
        )
    for place, row in enumerate(shown):
        cells = [_cell(column, row, trends, place) for column, _ in columns.columns]
        style = _style(row) + (" reverse" if place == selected else "")
        mark = (">" if place == selected else " ") + _mark(row)
        table.add_row(Text(mark), Text(name(look, row)), *cells, style=style)
    return table


def _header(text: str, session: Session, sort: str) -> Text:
    """A header, which shows whether the table is sorted by it."""
    return Text(text, style="reverse" if sort == session.sort else "")


def _cell(column: Column, row: Row, trends: Sequence[str], place: int) -> Text:
    text = trends[place] if column.header == TREND else column.text(row)
    return Text(" " * GAP + text)


def _mark(row: Row) -> str:
    if row.view.reason is None:
        return " "
    return MARKS[Status.INFO if row.view.is_intended else Status.CRITICAL][0]


def _style(row: Row) -> str:
    if row.seen is not None:
        return "dim"
    if row.view.reason is None:
        return ""
    return "yellow" if row.view.is_intended else "red"


def _hint(row: Row) -> Text:
    """Why the selected queue is blocked, or the first thing that is odd about it."""
    view = row.view
    text = f"{view.prefix}:{view.queue}"
    if view.reason is not None:
        text += f" is blocked by {view.reason.replace('_', ' ')}: {view.hint}"
    elif row.seen is not None:
        text += f" {last_seen(row.seen)}: it cannot be read now"
    elif view.stuck:
        job = view.stuck[0]
        text += f": stuck {job.kind} {job.id}: {job.proof}; {job.remedy}"
    elif view.odd_workers:
        text += f": {view.odd_workers[0].proof}; {view.odd_workers[0].remedy}"
    elif view.failures and view.failures[0].recent:
        text += f": {view.failures[0].count:,} failed: {view.failures[0].name}"
    return Text(safe(text), style="italic")


def _last_line(session: Session, matching: int, shown: int, width: int) -> Text:
    if session.typing:
        keys = ((f"/{safe(session.pattern)}▏", ""), *_TYPING_KEYS)
        return keys_line(keys, "", width)
    first = session.first + 1 if shown else 0
    return keys_line(_KEYS, f"{first:,}-{session.first + shown:,} of {matching:,}", width)
