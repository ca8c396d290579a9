"""The diagram in docs/architecture.md matches the imports."""

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


def reachable(part: str, arrows: dict[str, set[str]]) -> set[str]:
    """The parts that a part imports, directly or through others."""
    below = arrows.get(part, set())
    return below.union(*(reachable(each, arrows) for each in below))


def needed(arrows: dict[str, set[str]]) -> Arrows:
    """The arrows that no longer path implies."""
    return {
        (part, target)
        for part, targets in arrows.items()
        for target in targets
        if not any(target in reachable(other, arrows) for other in targets - {target})
    }


def drawn() -> Arrows:
    (diagram,) = [b for b in blocks(ROOT / "docs" / "architecture.md") if b.language == "mermaid"]
    lines = re.findall(r"^ *(\w+) --> (.+)$", diagram.text, re.MULTILINE)
    return {(part, target) for part, targets in lines for target in targets.split(" & ")}


def test_arrows_match_the_imports() -> None:
    expected = needed(imported())
    assert sorted(drawn() - expected) == [], "remove from the diagram"
    assert sorted(expected - drawn()) == [], "add to the diagram"


def test_every_part_is_in_the_diagram_and_in_the_table() -> None:
    assert {part for arrow in drawn() for part in arrow} == set(LAYERS)
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = set(re.findall(r"`(\w+)(?:\.py|/)`", text))
    assert set(LAYERS) - {"__main__"} <= table
