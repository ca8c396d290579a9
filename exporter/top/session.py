"""What the user has chosen to see, and what each key changes of it. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter.top.keys import Key
from exporter.views.find_queue import QueueKey

_MAX_PATTERN: Final = 200


@dataclass(slots=True)
class Page:
    """What the screen shows at present, which keys refer to."""

    keys: Sequence[QueueKey] = ()
    """The queues of the table, in order."""
    height: int = 1
    """Rows or lines that fit."""
    sorts: Sequence[str] = ()
    """The orders that `s` goes through."""
    lines: int = 0
    """Lines of the open queue, or of the findings."""


@dataclass(slots=True)
class Session:
    """The choices, and the page that they have led to."""

    sort: str = "impact"
    pattern: str = ""
    reverse: bool = False
    blocked: bool = False
    """Whether only blocked queues are shown."""
    typing: bool = False
    """Whether characters go to the filter."""
    selected: QueueKey | None = None
    """None: the first row, whichever queue that is."""
    first: int = 0
    """The first row on the screen."""
    opened: QueueKey | None = None
    """The queue that is shown instead of the table."""
    findings: bool = False
    """Whether the findings are shown instead of the table."""
    line: int = 0
    """The first line of the open queue, or of the findings, on the screen."""
    page: Page = field(default_factory=Page)

    def show(self, keys: Sequence[QueueKey], height: int, sorts: Sequence[str]) -> int:
        """Take over a new table; scrolls to the selected row and returns its number.

        A queue stays selected when it moves. If it is gone, the row at its place is selected.
        """
        before = self._row(self.page.keys)
        self.page = Page(keys, max(1, height), sorts)
        row = self._row(keys, before)
        if self.selected is not None:
            self.selected = keys[row] if keys else None
        self._scroll_to(row)
        return row

    def show_lines(self, lines: int, height: int) -> int:
        """Take over the lines that are scrolled; returns the first one on the screen."""
        self.page.lines, self.page.height = lines, max(1, height)
        self.line = max(0, min(self.line, lines - self.page.height))
        return self.line

    def press(self, key: Key | str) -> bool:
        """What a key does; returns whether it ends the program."""
        if key is Key.CTRL_C:
            return True
        if self.typing:
            self._type(key)
            return False
        if key == "q":
            return True
        if self.opened is not None or self.findings:
            self._read(key)
        else:
            self._choose(key)
        return False

    # --- the filter ------------------------------------------------------------------------------

    def _type(self, key: Key | str) -> None:
        if isinstance(key, str):
            self.pattern = (self.pattern + key)[:_MAX_PATTERN]
        elif key is Key.BACKSPACE:
            self.pattern = self.pattern[:-1]
        elif key is Key.ESCAPE:
            self.pattern, self.typing = "", False
        elif key is Key.ENTER:
            self.typing = False
        elif key in _MOVES:
            self._move(key)

    # --- the table -------------------------------------------------------------------------------

    def _choose(self, key: Key | str) -> None:
        if key is Key.ENTER and self.page.keys:
            self.selected = self.opened = self.page.keys[self._row(self.page.keys)]
        elif key is Key.ESCAPE:
            self.pattern, self.blocked = "", False
        elif key in ("s", "S"):
            self._sort_by_next(1 if key == "s" else -1)
        elif key in _MOVES:
            self._move(key)
        else:
            self._switch(key)

    def _switch(self, key: Key | str) -> None:
        if key == "/":
            self.typing = True
        elif key == "r":
            self.reverse = not self.reverse
        elif key == "b":
            self.blocked = not self.blocked
        elif key == "f":
            self.findings = True

    def _sort_by_next(self, step: int) -> None:
        sorts = self.page.sorts
        place = sorts.index(self.sort) + step if self.sort in sorts else 0
        if sorts:
            self.sort, self.reverse = sorts[place % len(sorts)], False
        self.selected, self.first = None, 0

    def _move(self, key: Key | str) -> None:
        keys = self.page.keys
        if not keys:
            return
        row = _moved(self._row(keys), key, self.page.height, len(keys) - 1)
        self.selected = keys[row]
        self._scroll_to(row)

    def _row(self, keys: Sequence[QueueKey], otherwise: int = 0) -> int:
        """The number of the selected row."""
        if self.selected in keys:
            return keys.index(self.selected)
        return 0 if self.selected is None else max(0, min(otherwise, len(keys) - 1))

    def _scroll_to(self, row: int) -> None:
        height = self.page.height
        last = max(0, len(self.page.keys) - height)
        self.first = max(0, min(max(self.first, row - height + 1), row, last))

    # --- the open queue, and the findings --------------------------------------------------------

    def _read(self, key: Key | str) -> None:
        if key in (Key.ESCAPE, Key.ENTER, Key.BACKSPACE) or (self.findings and key == "f"):
            self.opened, self.findings, self.line = None, False, 0
        elif key in _MOVES:
            last = max(0, self.page.lines - self.page.height)
            self.line = _moved(self.line, key, self.page.height, last)


_MOVES: Final = {
    Key.UP: "up",
    "k": "up",
    Key.DOWN: "down",
    "j": "down",
    Key.PAGE_UP: "page up",
    Key.PAGE_DOWN: "page down",
    " ": "page down",
    Key.HOME: "home",
    "g": "home",
    Key.END: "end",
    "G": "end",
}


def _moved(place: int, key: Key | str, height: int, last: int) -> int:
    """The place after a move, from 0 to `last`."""
    page = max(1, height - 1)
    places = {
        "up": place - 1,
        "down": place + 1,
        "page up": place - page,
        "page down": place + page,
        "home": 0,
        "end": last,
    }
    return max(0, min(places[_MOVES[key]], last))
