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
