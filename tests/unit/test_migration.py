"""The migration's tables, its recording rules and their tests are about the same names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.metrics import CATALOGUE, MetricType
from tests.support.alert_tests import FOLDER, checks
from tests.support.promql import selectors

TEXT = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
FILES = {file.stem: file for file in sorted((FOLDER / "migration").glob("*.yml"))}
KINDS = {family.name: family.kind for family in CATALOGUE}


def rules(exporter: str) -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(FILES[exporter].read_text())["groups"]
    return list(group["rules"])


def table(exporter: str) -> dict[str, str]:
    """Old name → the cell that says what it is here."""
    section = re.search(rf"^## {exporter}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None
    rows = re.search(r"^\| old \|.*?\n\n", section[1], re.MULTILINE | re.DOTALL)
    assert rows is not None
    return dict(re.findall(r"^\| `(\w+)` \| (.+?(?<!\\)) \|", rows[0], re.MULTILINE))


def family(name: str) -> str:
    """The name without a histogram's or a summary's ending."""
    return re.sub("_(bucket|sum|count)$", "", name) if name not in KINDS else name


@pytest.mark.parametrize("exporter", FILES)
def test_what_the_table_names_is_recorded(exporter: str) -> None:
    named = {old for old, new in table(exporter).items() if new != "no rule"}
    summaries = {rule["record"] for rule in rules(exporter) if "labels" in rule}
    recorded = {rule["record"] for rule in rules(exporter)}
    ends = {f"{name}{end}" for name in summaries for end in ("_sum", "_count")}
    assert recorded == named | ends


@pytest.mark.parametrize("exporter", FILES)
def test_a_rule_asks_for_what_the_table_says(exporter: str) -> None:
    new = table(exporter)
    for rule in rules(exporter):
        old = rule["record"] if rule["record"] in new else family(rule["record"])
        (wanted,) = selectors(new[old].replace("\\|", "|").strip("`"))
        for name, matchers in selectors(rule["expr"]):
            assert family(name) == wanted[0]
            assert wanted[1].items() <= matchers.items()
            assert KINDS[family(name)] is MetricType.HISTOGRAM or name in KINDS


def test_every_rule_has_a_test() -> None:
    asked = {name for _, check in checks() for name, _ in selectors(check["expr"])}
    assert {rule["record"] for each in FILES for rule in rules(each)} <= asked


def test_every_file_is_named() -> None:
    assert set(re.findall(r"Rules: \[migration/([\w-]+)\.yml\]", TEXT)) == set(FILES)
