"""TypeScript checks the dashboards against Grafana's published schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dashboards import FILES, Dashboard, load, panels
from tests.support.typescript import compiler_errors

# enums are separate types in TypeScript; in JSON they are their values
PREAMBLE = """
type J<T> = T extends string ? `${T}` : T extends number ? number
  : T extends (infer U)[] ? J<U>[] : T extends object ? { [K in keyof T]: J<T[K]> } : T;
import type { Dashboard, Panel, RowPanel } from '@grafana/schema';
"""
SCHEMAS = {
    "stat": "stat/panelcfg/x/StatPanelCfg_types.gen",
    "timeseries": "timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen",
    "table": "table/panelcfg/x/TablePanelCfg_types.gen",
    "heatmap": "heatmap/panelcfg/x/HeatmapPanelCfg_types.gen",
    "state-timeline": "statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen",
}
WITH_FIELDS = {"timeseries", "table", "heatmap", "state-timeline"}


def program(dashboard: Dashboard) -> str:
    """A program that type-checks if the dashboard follows the schema."""
    return PREAMBLE + "\n".join(statements(dashboard))


def statements(dashboard: Dashboard) -> Iterator[str]:
    for kind, path in SCHEMAS.items():
        name = kind.replace("-", "_")
        fields = f", FieldConfig as {name}_fields" if kind in WITH_FIELDS else ""
        yield (
            f"import type {{ Options as {name}{fields} }} from "
            f"'@grafana/schema/dist/esm/raw/composable/{path}';"
        )
    yield constant("dashboard", "J<Dashboard>", dashboard | {"panels": []})
    for row in (panel for panel in dashboard["panels"] if panel["type"] == "row"):
        yield constant(f"row{row['id']}", "J<RowPanel>", row | {"panels": []})
    for panel in panels(dashboard):
        number, name = panel["id"], panel["type"].replace("-", "_")
        yield constant(f"panel{number}", "J<Panel>", panel)
        yield constant(f"options{number}", f"J<Partial<{name}>>", panel.get("options", {}))
        if panel["type"] in WITH_FIELDS:
            custom = panel["fieldConfig"]["defaults"].get("custom", {})
            yield constant(f"fields{number}", f"J<Partial<{name}_fields>>", custom)


def without_queries(content: Any) -> Any:
    """Check and remove the query fields of Prometheus, which the schema does not have."""
    if isinstance(content, list):
        return [without_queries(each) for each in content]
    if not isinstance(content, dict):
        return content
    if "refId" in content and "expr" in content:
        own = set(content) - {"refId", "datasource"}
        assert own <= {"expr", "legendFormat", "instant", "range", "format", "intervalFactor"}, own
        return {name: content[name] for name in ("refId", "datasource")}
    return {name: without_queries(each) for name, each in content.items()}


def constant(name: str, kind: str, content: Any) -> str:
    return (
        f"export const {name}: {kind} = {json.dumps(without_queries(content), ensure_ascii=False)};"
    )


def broken(how: str) -> Dashboard:
    made = load(FILES[0])
    panel = next(p for p in panels(made) if p["type"] == "timeseries")
    if how == "an enum's value":
        panel["fieldConfig"]["defaults"]["thresholds"] = {"mode": "relative", "steps": []}
    elif how == "a type":
        panel["gridPos"]["w"] = "wide"
    elif how == "an option":
        panel["options"]["tooltips"] = {}
    elif how == "a key of a panel":
        panel["titel"] = "x"
    elif how == "a field's option":
        panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "dotted"
    else:
        made["refreshes"] = "30s"
    return made


KINDS = (
    "an enum's value",
    "a type",
    "an option",
    "a key of a panel",
    "a field's option",
    "a key of the dashboard",
)


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The compiler's errors by program: the dashboards, and one broken in several ways."""
    dashboards = {file.stem: load(file) for file in FILES}
    dashboards |= {f"broken{index}": broken(how) for index, how in enumerate(KINDS)}
    programs = {name: program(each) for name, each in dashboards.items()}
    return compiler_errors(tmp_path_factory.mktemp("schema"), programs)


def test_the_dashboards_follow_the_schema(errors: dict[str, str]) -> None:
    assert [text for name, text in errors.items() if not name.startswith("broken")] == []


@pytest.mark.parametrize("how", KINDS)
def test_the_check_finds_an_error(how: str, errors: dict[str, str]) -> None:
    """One error of each kind, to prove that the check can fail."""
    assert f"broken{KINDS.index(how)}" in errors
