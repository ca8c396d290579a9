"""What the site has beyond docs/: README.md as its first page, and the files that pages link to.

In the site, docs/ is the root and everything else keeps its path in the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\((?!https?://|#)([^)\s#]+)([^)\s]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds README.md and every file outside docs/ that is linked to, directly or not."""
    todo = [_in_repository(file.src_uri) for file in files.documentation_pages()]
    todo.append("README.md")
    seen: set[str] = set()
    while todo:
        path = todo.pop()
        if path in seen or not (ROOT / path).is_file():
            continue
        seen.add(path)
        if path.endswith(".md"):
            text = (ROOT / path).read_text()
            todo += [_target(path, target) for target, _ in _LINK.findall(text)]
        if not path.startswith("docs/"):
            content = (ROOT / path).read_bytes()
            files.append(File.generated(config, _in_site(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links as they are in the site."""
    here = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        target = _in_site(_target(_in_repository(here), match[1]))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{match[2]})"

    return _LINK.sub(moved, markdown)


def _target(path: str, link: str) -> str:
    """A link's file in the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _in_site(path: str) -> str:
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _in_repository(uri: str) -> str:
    if uri == "index.md":
        return "README.md"
    return uri if (ROOT / uri).is_file() else f"docs/{uri}"
