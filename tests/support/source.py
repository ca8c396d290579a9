"""The exporter's source: its layers and imports."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "exporter"
TESTS = Path(__file__).parents[1]

# each may import only itself and those before it
LAYERS = (
    "log",
    "parsing",
    "terminal",
    "threads",
    "config",
    "connection",
    "bullmq",
    "state",
    "collectors",
    "diagnosis",
    "views",
    "metrics",
    "rules",
    "findings",
    "exposition",
    "polling",
    "web",
    "check",
    "reload",
    "app",
    "top",
    "demo",
    "cli",
    "__main__",
)


@functools.cache
def imports() -> tuple[tuple[str, str, str], ...]:
    """Every import: the file, its part of the exporter, and the imported module."""
    return tuple(_imports())


def _imports() -> Iterator[tuple[str, str, str]]:
    for file in sorted(ROOT.rglob("*.py")):
        relative = file.relative_to(ROOT)
        part = relative.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((str(relative), part, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [alias.name for alias in node.names]
                whole = node.module == "exporter"
                for module in [f"exporter.{n}" for n in names] if whole else [node.module]:
                    yield str(relative), part, module
