"""The documentation site: builds without warnings and shows the same as GitHub."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Route

from tests.support.browser import chromium
from tests.support.commands import PAGES, ROOT, all_blocks, blocks, name_of
from tests.support.requirements import node_modules
from tests.support.waiting import LIMIT_SECONDS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    node_modules()  # Mermaid is among them
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        # as in `make site`: the theme prints an advertisement
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert not re.search("^WARNING", done.stderr, re.MULTILINE)
    return folder


class Content(HTMLParser):
    """The number of elements of each kind in the content, and the targets of its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.targets: list[str] = []
        article = re.search(r"<article.*</article>", html, re.DOTALL)
        assert article is not None
        self.feed(article[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.targets += [value for name, value in attrs if name in ("href", "src") and value]


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site on a web server."""
    handler = functools.partial(_QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base
        """Log nothing."""


def built(site: Path, page: Path) -> Path:
    return site / name_of(page).removesuffix("README") / "index.html"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_all_blocks_tables_and_lists_of_its_source(site: Path, page: Path) -> None:
    """Python-Markdown treats some lists and blocks as text that GitHub does not."""
    text = re.sub(r"^( *)```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    count = Content(built(site, page).read_text()).count
    assert count.get("pre", 0) == len(list(blocks(page)))
    assert count.get("table", 0) == len(re.findall(r"^\| -", text, re.MULTILINE))
    assert count.get("li", 0) == len(re.findall(r"^ *(?:-|\d+\.) ", text, re.MULTILINE))
    assert count.get("h2", 0) == len(re.findall(r"^## ", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_linked_files_exist_in_the_site(site: Path, page: Path) -> None:
    file = built(site, page)
    for target in Content(file.read_text()).targets:
        path = target.partition("#")[0]
        if path and not path.startswith(("http://", "https://")):
            assert (file.parent / path).exists(), target


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    for file in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)",
            # the canonical address of a page is its own
            re.sub(r'<link rel="?canonical[^>]*>', "", file.read_text()),
        )
        assert loaded == [], file


DIAGRAMS = sorted({block.page for block in all_blocks("mermaid")})


@pytest.mark.parametrize("page", DIAGRAMS, ids=name_of)
def test_diagrams_are_drawn_without_other_hosts(address: str, page: Path) -> None:
    foreign: list[str] = []

    def serve(route: Route) -> None:
        if route.request.url.startswith((address, "data:")):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    with chromium() as browser:
        tab = browser.new_page()
        tab.route("**/*", serve)
        # the theme hides its diagrams in closed shadow trees
        tab.add_init_script(
            "const attach = Element.prototype.attachShadow;"
            "Element.prototype.attachShadow = function () {"
            " return attach.call(this, {mode: 'open'}) }"
        )
        tab.goto(f"{address}{name_of(page)}/")
        for block in blocks(page):
            if block.language == "mermaid":
                for name in set(re.findall(r"\w+", block.text)) - {"flowchart", "TD"}:
                    tab.locator("svg .node", has_text=re.compile(f"^{name}$")).wait_for()
    assert foreign == []
