"""A real Chromium, and the status page as it shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.daemon import Daemon
from tests.support.requirements import node_modules, require
from tests.support.waiting import wait_for

DESK: Any = {"width": 1280, "height": 800}
_ROWS = """() => [...document.querySelectorAll("#table tbody tr")].map(row => ({
  key: row.dataset.key,
  classes: [...row.classList],
  paused: row.querySelector(".tag") !== null,
  reason: row.cells[1].querySelector("b")?.textContent ?? "",
  cells: [...row.cells].map(cell => cell.firstChild?.textContent.trim() ?? ""),
}))"""
# the columns after the name and the reason
_COLUMNS = (
    *("waiting", "prioritized", "active", "delayed", "waiting-children", "completed", "failed"),
    *("oldest", "longest", "workers", "added", "done", "failed_rate"),
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's own; without it the test is skipped, or fails in CI."""
    path = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@dataclass
class TableRow:
    """A queue as people read it."""

    key: str
    classes: list[str]
    paused: bool
    reason: str
    values: dict[str, str]


@dataclass
class Screen:
    """The status page in a browser, with what went wrong there."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """Requests to anybody but the exporter."""

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _heard(self, kind: str, text: str) -> None:
        # an exporter that is away is told on the page
        if kind in ("error", "warning") and "net::ERR" not in text:
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:")):
            self.foreign.append(url)

    def open(self, path: str = "/") -> Screen:
        self.page.goto(f"{self.origin}{path}")
        return self

    @property
    def address(self) -> str:
        """As the browser shows it now; the library learns of a change later."""
        told: str = self.page.evaluate("location.href")
        return told

    @property
    def headline(self) -> str:
        return self.page.locator("h1").inner_text()

    @property
    def verdict(self) -> str:
        return self.page.locator("#verdict").inner_text()

    @property
    def alarm(self) -> str:
        return self.page.locator("#alarm").inner_text()

    @property
    def focused(self) -> str:
        """The element that has the focus: its name, id, or text."""
        told: str = self.page.evaluate(
            "(e => e.name || e.id || e.textContent)(document.activeElement)"
        )
        return told

    def rows(self) -> list[TableRow]:
        return [
            TableRow(
                row["key"],
                row["classes"],
                row["paused"],
                row["reason"],
                dict(zip(_COLUMNS, row["cells"][2:], strict=True)),
            )
            for row in self.page.evaluate(_ROWS)
        ]

    def names(self) -> list[str]:
        return [row.key.rpartition("|")[2] for row in self.rows()]

    def until(self, condition: Any, what: str) -> Any:
        """The condition's first true answer, asked of this screen."""
        try:
            return wait_for(lambda: condition(self), what)
        except AssertionError as error:
            body = self.page.locator("body").inner_text()
            raise AssertionError(f"{error}\n{body}") from None

    def violations(self) -> list[str]:
        """What axe finds, as rules with the elements that break them."""
        if not self.page.evaluate("'axe' in window"):
            axe = (node_modules() / "axe-core" / "axe.min.js").read_text()
            self.page.evaluate(f"() => {{ {axe} }}")
        found = self.page.evaluate("axe.run(document)")
        assert len(found["passes"]) > 20, "axe has looked at next to nothing"
        return [
            f"{rule['impact']} {rule['id']}: {rule['nodes'][0]['html'][:200]}"
            for rule in found["violations"]
        ]


@contextlib.contextmanager
def screens(browser: Browser) -> Iterator[Callable[..., Screen]]:
    """Opens exporters' pages; at the end nothing may have gone wrong in any of them."""
    opened: list[Screen] = []
    with contextlib.ExitStack() as stack:

        def look(exporter: Daemon, path: str = "/", **options: Any) -> Screen:
            context = browser.new_context(**({"viewport": DESK} | options))
            stack.callback(context.close)
            opened.append(Screen(context.new_page(), exporter.url))
            return opened[-1].open(path)

        yield look
        for screen in opened:
            assert screen.complaints == []
            assert screen.foreign == []
