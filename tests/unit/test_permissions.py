"""Every command that the code packs is one that an ACL can be told of."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.bullmq import COUNTS
from exporter.check.permissions import CONTAINERS, USES
from exporter.collectors import SYNC_COMMANDS
from tests.unit.test_layers import ROOT

# what sends a command; the first text among its arguments is the command's name
SENDERS = {"pack", "command"}
SENDERS_OF_SYNC = SENDERS | {"_ask"}
# they pass on what others name: `COUNTS`, `USES`, and the callers of the functions themselves
PASSED_ON = {
    ("collectors/queues/plan.py", "_count_commands"),
    ("collectors/queues/plan.py", "command"),
    ("collectors/sync/steps.py", "_ask"),
    ("check/permissions.py", "_refused"),
    ("connection/client.py", "command"),
    ("connection/routing.py", "commands"),
    ("connection/routing.py", "plan_of"),
}


class _Sent(ast.NodeVisitor):
    """(command, or None where it is not in the code as a text; the function around it)."""

    def __init__(self, senders: set[str]) -> None:
        self._senders = senders
        self.found: list[tuple[str | None, str]] = []
        self._inside: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside.append(node.name)
        self.generic_visit(node)
        self._inside.pop()

    def visit_Call(self, node: ast.Call) -> None:
        owner, _, name = ast.unparse(node.func).rpartition(".")
        if name in self._senders and owner != "struct" and node.args:
            self.found.append((_command(node.args), self._inside[-1] if self._inside else ""))
        self.generic_visit(node)


def _command(arguments: list[ast.expr]) -> str | None:
    values = [a.value if isinstance(a, ast.Constant) else None for a in arguments]
    texts = [(i, text.lower()) for i, text in enumerate(values) if isinstance(text, str)]
    if not texts:
        return None
    place, name = texts[0]
    return f"{name}|{str(values[place + 1]).lower()}" if name in CONTAINERS else name


def sent(root: Path) -> Iterator[tuple[str, str | None, str]]:
    for file in sorted(root.rglob("*.py")):
        visitor = _Sent(SENDERS_OF_SYNC if file.parent.name == "sync" else SENDERS)
        visitor.visit(ast.parse(file.read_text()))
        for command, function in visitor.found:
            yield str(file.relative_to(root)), command, function


def unlisted(root: Path) -> list[str]:
    """Commands that no list names, with their file."""
    listed = {use.name for use in USES} | {name.lower() for name in SYNC_COMMANDS}
    return [
        f"{file}, {function}: {command or 'a command that is not written out'}"
        for file, command, function in sent(root)
        if (file, function) not in PASSED_ON
        if command not in listed
    ]


def test_every_command_is_listed() -> None:
    assert unlisted(ROOT) == []


def test_every_listed_command_is_sent() -> None:
    known = {command for _, command, _ in sent(ROOT)} | {c[0].lower() for c in COUNTS}
    assert {use.name for use in USES} | {name.lower() for name in SYNC_COMMANDS} == known - {None}


def test_those_that_pass_on_are_there() -> None:
    assert {(file, function) for file, command, function in sent(ROOT) if command is None} == (
        PASSED_ON
    )


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ('pack("SMEMBERS", key)', "smembers"),
        ('context.client.command("CLIENT", "KILL", "x")', "client|kill"),
        ('_ask(reader, "GETDEL", key)', "getdel"),
        ("pack(name, key)", "not written out"),
        ("[pack(*words) for words in commands]", "not written out"),
    ],
)
def test_a_new_command_is_found(tmp_path: Path, code: str, named: str) -> None:
    folder = tmp_path / "sync"
    folder.mkdir()
    (folder / "new.py").write_text(f"def f():\n    return {code}\n")
    (told,) = unlisted(tmp_path)
    assert named in told


def test_a_command_that_is_listed_is_not(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text('def f():\n    return pack("LLEN", key)\n')
    assert unlisted(tmp_path) == []
