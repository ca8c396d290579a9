"""promtool's unit tests of the alerts, as data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.yaml_text import parse

FOLDER = Path(__file__).parents[2] / "prometheus"
FILES = sorted((FOLDER / "tests").glob("*.yml"))


def checks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every check: the name of its test, and a query with the expected samples."""
    for file in FILES:
        for test in parse(file.read_text())["tests"]:
            for check in test["promql_expr_test"]:
                yield test["name"], check


@cache
def firing_labels() -> Mapping[str, Mapping[str, str]]:
    """The labels with which each alert fires, by the alert's name."""
    found: dict[str, dict[str, str]] = {}
    for _, check in checks():
        for sample in check["exp_samples"]:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
            if labels.pop("alertstate", "") == "firing":
                found.setdefault(labels["alertname"], labels)
    return found
