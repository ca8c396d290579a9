"""What the site has beyond docs/: README.md as its first page, and the files that pages link to."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent
_LINK = re.compile(r"\]\((?!https?://|#)([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds index.md and every file outside docs/ that a page links to, under its own path."""
    readme = (ROOT / "README.md").read_text()
    linked = _linked(ROOT, readme)
    for page in files.documentation_pages():
        linked |= _linked(ROOT / "docs", page.content_string)
    files.append(File.generated(config, "index.md", content=readme))
    for path in sorted(linked):
        files.append(File.generated(config, str(path), content=(ROOT / path).read_bytes()))
    return files


def _linked(folder: Path, text: str) -> set[Path]:
    """Files outside docs/ that a text links to."""
    found = {(folder / target.partition("#")[0]).resolve() for target in _LINK.findall(text)}
    inside = {file.relative_to(ROOT) for file in found if file.is_file()}
    return {path for path in inside if path.parts[0] != "docs"}


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links as they are in the site, where docs/ is the root."""
    away = "docs/" if page.file.src_uri == "index.md" else "../"
    return re.sub(rf"\]\({re.escape(away)}", "](", markdown)
