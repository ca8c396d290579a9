"""The tables of docs/migration.md, and the rules that record the old names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support.alert_tests import FOLDER
from tests.support.yaml_text import parse

TEXT = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
FILES = {file.stem: file for file in sorted((FOLDER / "migration").glob("*.yml"))}
NO_RULE = "no rule"


def rules(exporter: str) -> list[dict[str, Any]]:
    (group,) = parse(FILES[exporter].read_text())["groups"]
    return list(group["rules"])


def table(exporter: str) -> dict[str, str]:
    """The cells with the new query, by old name."""
    section = re.search(rf"^## {exporter}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None
    rows = re.search(r"^\| old \|.*?\n\n", section[1], re.MULTILINE | re.DOTALL)
    assert rows is not None
    return dict(re.findall(r"^\| `(\w+)` \| (.+?(?<!\\)) \|", rows[0], re.MULTILINE))


def old_names() -> set[str]:
    """The names of metrics and labels of the other exporters."""
    metrics = {old for exporter in FILES for old in table(exporter)}
    text = "".join(file.read_text() for file in FILES.values())
    return metrics | set(re.findall(r'"(\w+)", "\$1"', text)) | set(re.findall(r"\{(\w+): ", text))
