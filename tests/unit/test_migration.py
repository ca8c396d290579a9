"""The migration tables, the recording rules and their tests name the same metrics."""

from __future__ import annotations

import re

import pytest

from exporter.metrics import CATALOGUE, MetricType
from tests.support.alert_tests import checks
from tests.support.migration import FILES, NO_RULE, TEXT, rules, table
from tests.support.promql import selectors

KINDS = {family.name: family.kind for family in CATALOGUE}


def family(name: str) -> str:
    """The name without the suffix of a histogram or summary."""
    return re.sub("_(bucket|sum|count)$", "", name) if name not in KINDS else name


@pytest.mark.parametrize("exporter", FILES)
def test_every_metric_of_the_table_has_a_rule(exporter: str) -> None:
    named = {old for old, new in table(exporter).items() if new != NO_RULE}
    summaries = {rule["record"] for rule in rules(exporter) if "quantile" in rule.get("labels", {})}
    recorded = {rule["record"] for rule in rules(exporter)}
    ends = {f"{name}{end}" for name in summaries for end in ("_sum", "_count")}
    assert recorded == named | ends


@pytest.mark.parametrize("exporter", FILES)
def test_rules_query_the_metrics_of_the_table(exporter: str) -> None:
    new = table(exporter)
    for rule in rules(exporter):
        old = rule["record"] if rule["record"] in new else family(rule["record"])
        (expected,) = selectors(new[old].replace("\\|", "|").strip("`"))
        for name, matchers in selectors(rule["expr"]):
            assert family(name) == expected[0]
            assert expected[1].items() <= matchers.items()
            assert KINDS[family(name)] is MetricType.HISTOGRAM or name in KINDS


def test_every_rule_has_a_test() -> None:
    asked = {name for _, check in checks() for name, _ in selectors(check["expr"])}
    assert {rule["record"] for each in FILES for rule in rules(each)} <= asked


def test_the_docs_link_every_rules_file() -> None:
    assert set(re.findall(r"Rules: \[migration/([\w-]+)\.yml\]", TEXT)) == set(FILES)
