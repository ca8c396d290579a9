"""Adds files from outside docs/ to the site: README.md as the first page, linked files, Mermaid.

In the site, docs/ is the root; other files keep their path in the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_MERMAID = "assets/javascripts/mermaid.js"
_MERMAID_SOURCE = ROOT / "tests/e2e/node/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
_LINK = re.compile(r"\]\((?!https?://|#)([^)\s#]+)([^)\s]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md and every file outside docs/ that pages link to, directly or indirectly."""
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
    if not _MERMAID_SOURCE.is_file():
        raise PluginError("Mermaid is not installed: npm ci --prefix tests/e2e/node")
    files.append(File.generated(config, _MERMAID, abs_src_path=str(_MERMAID_SOURCE)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite the links of a page to the paths in the site."""
    current = page.file.src_uri

    def rewritten(match: re.Match[str]) -> str:
        target = _in_site(_target(_in_repository(current), match[1]))
        return f"]({posixpath.relpath(target, posixpath.dirname(current) or '.')}{match[2]})"

    return _LINK.sub(rewritten, markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Load Mermaid on pages with diagrams; without it, the theme loads it from another host."""
    if '<pre class="mermaid">' not in output:
        return output
    source = posixpath.relpath(_MERMAID, posixpath.dirname(page.file.dest_uri) or ".")
    return output.replace("</head>", f'<script src="{source}"></script></head>', 1)


def _target(path: str, link: str) -> str:
    """The path in the repository that a link in the file at `path` points to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _in_site(path: str) -> str:
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _in_repository(uri: str) -> str:
    if uri == "index.md":
        return "README.md"
    return uri if (ROOT / uri).is_file() else f"docs/{uri}"
