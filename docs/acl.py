"""Writes the commands into the ACL lines of operations.md: those that the exporter sends."""

from __future__ import annotations

from pathlib import Path

from exporter.check.permissions import acl_commands

PAGE = Path(__file__).parent / "operations.md"
_START = "ACL SETUSER monitor on >password "


def updated(text: str) -> str:
    """The page with up-to-date ACL lines; a line with the sync test's keys allows its commands."""
    return "".join(map(_line, text.splitlines(keepends=True)))


def _line(line: str) -> str:
    if not line.startswith(_START):
        return line
    keys = [word for word in line.split() if word.startswith(("~", "%"))]
    commands = acl_commands(sync=any("sync" in key for key in keys))
    return f"{_START}{' '.join([*keys, '-@all', *commands])}\n"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
