"""A real Chromium, and the status page in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.daemon import Daemon
from tests.support.requirements import node_modules, require
from tests.support.waiting import LIMIT_SECONDS, wait_for

DESK: Any = {"width": 1280, "height": 800}
_ROWS = """() => [...document.querySelectorAll("#table tbody tr")].map(row => ({
  key: row.dataset.key,
  classes: [...row.classList],
  paused: row.querySelector(".tag") !== null,
  reason: row.cells[1].querySelector("b")?.textContent ?? "",
  cells: [...row.cells].filter(cell => !cell.matches(".trend"))
    .map(cell => cell.firstChild?.textContent.trim() ?? ""),
}))"""
# the elements of rules that pass would take most of the time
_VIOLATIONS = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return {passes: found.passes.length, violations: found.violations};
}"""
# the columns after the name and the reason
_COLUMNS = (
    *("waiting", "prioritized", "active", "delayed", "waiting-children", "completed", "failed"),
    *("oldest", "longest", "workers", "added", "done", "failed_rate"),
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without it the test is skipped, or fails in CI."""
    path = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@dataclass
class TableRow:
    """A row of the table, as it is shown."""

    key: str
    classes: list[str]
    paused: bool
    reason: str
    values: dict[str, str]


@dataclass
class Screen:
    """The status page in a browser, with the errors that occurred there."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """URLs of requests to other hosts than the exporter."""

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._on_console(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._on_request(request.url))

    def _on_console(self, kind: str, text: str) -> None:
        # the page itself reports an unreachable exporter
        if kind in ("error", "warning") and "net::ERR" not in text:
            self.complaints.append(text)

    def _on_request(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:")):
            self.foreign.append(url)

    def open(self, path: str = "/") -> Screen:
        self.page.goto(f"{self.origin}{path}")
        return self

    @property
    def address(self) -> str:
        """The current URL of the browser; Playwright learns of a change later."""
        found: str = self.page.evaluate("location.href")
        return found

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
        """The name, ID or text of the focused element."""
        found: str = self.page.evaluate(
            "(e => e.name || e.id || e.textContent)(document.activeElement)"
        )
        return found

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
        """Wait until the condition holds for this screen. Returns its first true value."""
        try:
            return wait_for(lambda: condition(self), what)
        except AssertionError as error:
            body = self.page.locator("body").inner_text()
            raise AssertionError(f"{error}\n{body}") from None

    def violations(self) -> list[str]:
        """The violations that axe reports, as rules with their elements."""
        if not self.page.evaluate("'axe' in window"):
            axe = (node_modules() / "axe-core" / "axe.min.js").read_text()
            self.page.evaluate(f"() => {{ {axe} }}")
        found = self.page.evaluate(_VIOLATIONS)
        assert found["passes"] > 20, "axe has looked at next to nothing"
        return [
            f"{rule['impact']} {rule['id']}: {rule['nodes'][0]['html'][:200]}"
            for rule in found["violations"]
        ]


@contextlib.contextmanager
def screens(browser: Browser) -> Iterator[Callable[..., Screen]]:
    """Opens exporters' pages; at the end, any error in one of them fails the test."""
    opened: list[Screen] = []
    with contextlib.ExitStack() as stack:

        def look(exporter: Daemon, path: str = "/", **options: Any) -> Screen:
            context = browser.new_context(**({"viewport": DESK} | options))
            context.set_default_timeout(LIMIT_SECONDS * 1000)
            stack.callback(context.close)
            opened.append(Screen(context.new_page(), exporter.url))
            return opened[-1].open(path)

        yield look
        for screen in opened:
            assert screen.complaints == []
            assert screen.foreign == []
