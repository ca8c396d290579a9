"""The ACL users in the documentation."""

from __future__ import annotations

from pathlib import Path

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def published_acls() -> list[list[str]]:
    """The rules of the two documented users: with the sync test, and without it."""
    lines = OPERATIONS.read_text().splitlines()
    return [line.split()[5:] for line in lines if line.startswith("ACL SETUSER monitor on >pass")]


def commands_of(rules: list[str]) -> set[str]:
    return {rule[1:] for rule in rules if rule.startswith("+")}
