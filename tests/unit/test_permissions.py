"""Every command that is sent is declared, so that permissions can be derived."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import generated
from exporter.check.permissions import PERMISSIONS, acl_commands
from exporter.collectors import READING_COMMANDS, SYNC_COMMANDS
from tests.support.source import ROOT

PAGES = generated.pages()
# `Command` itself, and the module that splits packed commands for the nodes of a cluster
MAY_PACK = {"connection/command.py", "connection/routing.py"}


def calls(root: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Every call of a function by its plain name: the file, the name, and the call."""
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name)):
                    yield str(file.relative_to(root)), name, node


def undeclared(root: Path) -> list[str]:
    """Commands that are sent but not declared in a list."""
    found = []
    declared = {command.name for command in (*READING_COMMANDS, *SYNC_COMMANDS)}
    for file, function, call in calls(root):
        if function == "pack" and file not in MAY_PACK:
            found.append(f"{file}: pack(...)")
        elif function == "Command":
            name = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
            if name not in declared:
                found.append(f"{file}: {name}")
    return found


def test_every_command_is_declared() -> None:
    assert undeclared(ROOT) == [], "add to a list in exporter/collectors/__init__.py"


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ('pack("SMEMBERS", key)', "pack(...)"),
        ('Command("CLIENT KILL", "x")', "CLIENT KILL"),
        ("Command(name)", "None"),
    ],
)
def test_an_undeclared_command_is_found(tmp_path: Path, code: str, named: str) -> None:
    (tmp_path / "new.py").write_text(f"def f():\n    return {code}\n")
    (found,) = undeclared(tmp_path)
    assert named in found


def test_every_permission_has_a_cost() -> None:
    assert [permission.name for permission in PERMISSIONS if not permission.cost] == []


def test_the_sync_test_adds_its_write_commands() -> None:
    assert set(acl_commands(sync=True)) - set(acl_commands(sync=False)) == {"+set", "+del"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_of_pages_are_up_to_date(page: Path) -> None:
    assert page.read_text() == PAGES[page], "run make docs"
