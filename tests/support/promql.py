"""The selectors of PromQL expressions."""

from __future__ import annotations

import promql_parser


def selectors(expr: str) -> list[tuple[str, dict[str, str]]]:
    """Metric and matchers of every selector. Fails if the expression does not parse."""
    found: list[tuple[str, dict[str, str]]] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = {matcher.name: matcher.value for matcher in node.matchers.matchers}
            found.append((node.name or matchers.pop("__name__", ""), matchers))

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


def kept_labels(expr: str) -> list[tuple[str, list[str] | None]]:
    """(operator, labels that it keeps) of aggregations, and of vector matches with `on`.

    None are the labels of an aggregation without `by`.
    """
    found: list[tuple[str, list[str] | None]] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr):
            found.append((str(node.op), list(node.modifier.labels) if node.modifier else None))
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier:
            matching = node.modifier.matching
            if matching:
                found.append((str(node.op), list(matching.labels)))

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found
