"""Code blocks of the documentation, and which of them can be run here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "deploy" / "README.md",
    ROOT / "deploy" / "helm" / "bullmq-exporter" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)

REASONS = {
    "make": "works on the source tree itself; CI runs these targets",
    "kubectl": "needs a cluster; tests/e2e/test_quick_start_in_kubernetes.py does without",
    "helm": "needs a cluster; tests/e2e/test_quick_start_in_kubernetes.py does without",
    "docker": "needs Docker",
    "cosign": "needs a release",
    "systemctl": "needs systemd",
    "demo": "needs the extra `demo`; tests/e2e/test_demo.py runs it",
    "top": "needs a terminal; tests/e2e/test_top.py drives it",
    "zsh": "needs zsh",
    "fish": "needs fish",
}
"""Why a block is not run: `<!-- not run: kubectl -->` before it. The word is in the block."""

_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<mark>[^>]+) -->\n(?:\s*\n)* *)?"
    r"```(?P<language>[^\n]*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced code block, with its page, line, language, and the comment before it."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def reason(self) -> str:
        """Why the block is not run; empty if it is run."""
        return self.mark.removeprefix("not run: ") if self.mark.startswith("not run: ") else ""

    @property
    def stays(self) -> bool:
        """Whether its last command runs until it is stopped."""
        return self.mark == "stays"

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """The page's name in test IDs: `runbook`, `deploy/README`."""
    return str(page.relative_to(ROOT).with_suffix("")).removeprefix("docs/")


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        indent = len(found["indent"])
        lines = [each[indent:] for each in found["text"].splitlines()]
        yield Block(page, line, found["language"], "\n".join(lines) + "\n", found["mark"] or "")


def section(page: Path, title: str) -> list[Block]:
    """The shell blocks of the section of the second level with that title."""
    lines = page.read_text().splitlines()
    start = lines.index(f"## {title}")
    end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("## ")), len(lines))
    return [b for b in blocks(page) if b.language == "sh" and start < b.line < end]


def all_blocks(language: str = "") -> list[Block]:
    """The blocks of all pages, or only those in a language."""
    return [b for page in PAGES for b in blocks(page) if not language or b.language == language]


def exporter_commands(text: str) -> list[list[str]]:
    """The arguments of every `bullmq-exporter` command, in blocks and in sentences."""
    start = r"(?:^|`|[A-Z_]+=\S+ | -- |exec \S+ )"
    found = re.findall(rf"{start}bullmq-exporter ([a-z][^`\n|>&]*)", text, flags=re.MULTILINE)
    return [shlex.split(re.sub(r"\b2$", "", command), comments=True) for command in found]
