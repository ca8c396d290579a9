"""The picture in docs/architecture.md is that of the imports."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.support.commands import ROOT, blocks
from tests.support.source import LAYERS, imports

Arrows = set[tuple[str, str]]


def imported() -> dict[str, set[str]]:
    """Part → the parts that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for _, part, module in imports():
        target = module.split(".")[1] if module.startswith("exporter.") else part
        if target in LAYERS and target != part:
            found[part].add(target)
    return found


def behind(part: str, arrows: dict[str, set[str]]) -> set[str]:
    """Everything that a part reaches through others."""
    below = arrows.get(part, set())
    return below.union(*(behind(each, arrows) for each in below))


def needed(arrows: dict[str, set[str]]) -> Arrows:
    """The arrows without which something could not be reached: no shortcut beside a longer way."""
    return {
        (part, target)
        for part, targets in arrows.items()
        for target in targets
        if not any(target in behind(other, arrows) for other in targets - {target})
    }


def drawn() -> Arrows:
    (picture,) = [b for b in blocks(ROOT / "docs" / "architecture.md") if b.language == "mermaid"]
    lines = re.findall(r"^ *(\w+) --> (.+)$", picture.text, re.MULTILINE)
    return {(part, target) for part, targets in lines for target in targets.split(" & ")}


def test_the_picture_has_the_arrows_of_the_imports() -> None:
    wanted = needed(imported())
    assert sorted(drawn() - wanted) == [], "to take away"
    assert sorted(wanted - drawn()) == [], "to add"


def test_every_part_is_in_the_picture_and_in_the_table() -> None:
    assert {part for arrow in drawn() for part in arrow} == set(LAYERS)
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = set(re.findall(r"`(\w+)(?:\.py|/)`", text))
    assert set(LAYERS) - {"__main__"} <= table
