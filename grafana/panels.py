"""Panels, variables and dashboards; the only module that imports the Grafana SDK."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import heatmap as hm
from grafana_foundation_sdk.models import prometheus as p

from grafana.promql import CHOSEN, RATE, of_exporters, where

WIDTH: Final = 24
SOURCE: Final = c.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "bullmq"
GREEN, YELLOW, RED, GREY, BLUE = "green", "yellow", "red", "text", "blue"

# Grafana's notation for a unit of one's own, shortened like counts: 12.3K jobs/s
JOBS_PER_SECOND: Final = "count:jobs/s"
ATTEMPTS_PER_SECOND: Final = "count:attempts/s"
EVENTS_PER_SECOND: Final = "count:events/s"
COMMANDS_PER_SECOND: Final = "count:commands/s"
PER_SECOND: Final = "cps"

COLORS: Final = {
    "waiting": "yellow",
    "prioritized": "orange",
    "active": "blue",
    "delayed": "purple",
    "waiting-children": "super-light-purple",
    "added": "light-blue",
    "started": "semi-dark-purple",
    "completed": "green",
    "failed": "red",
    "retried": "dark-orange",
    "stalled": "dark-red",
    "duplicated": "dark-yellow",
    "deduplicated": "light-yellow",
    "lost": "semi-dark-red",
    "net": "semi-dark-blue",
    "workers": "super-light-green",
    "p50": "light-green",
    "p95": "light-orange",
    "p99": "semi-dark-orange",
    "target": "light-red",
    "limit": "super-light-red",
}
"""The colour of what a series means, which is the first word of its legend; on every dashboard."""

_BOUNDS: Final = ("target", "limit")
"""Meanings whose lines have no area below them."""

_SOFT_MAX: Final = {
    JOBS_PER_SECOND: 0.1,
    ATTEMPTS_PER_SECOND: 0.1,
    EVENTS_PER_SECOND: 0.1,
    COMMANDS_PER_SECOND: 0.1,
    PER_SECOND: 0.1,
    "s": 0.01,
    "percentunit": 0.01,
}

Steps = Sequence[tuple[float | None, str]]
"""Thresholds: the colour from this value on; None is the base."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel."""

    expr: str
    legend: str = ""
    instant: bool = False


@dataclass(slots=True)
class Panel:
    """A panel and its size in the grid, which has 24 columns."""

    builder: Any
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row: a heading with its panels."""

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    """The label, or the letter of the query, that the column shows."""
    title: str
    unit: str = ""
    steps: Steps = ()
    mappings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Value → its text and colour."""
    width: int | None = None
    link: tuple[str, str] | None = None
    """Title and URL of a link."""
    decimals: int | None = None
    hidden: bool = False
    """Whether only links use it."""


def stats(
    title: str,
    question: str,
    expr: str,
    *,
    unit: str = "short",
    steps: Steps = ((None, BLUE),),
    mappings: Mapping[str, tuple[str, str]] | None = None,
    no_value: str = "-",
    legend: str = "{{job}}",
    width: int = 3,
    height: int = 4,
    decimals: int | None = None,
    by_name: bool = False,
    link: tuple[str, str] | None = None,
) -> Panel:
    """A single value, for each job.

    An instant query: a range query would also show series that have ended.
    """
    made = (
        _titled(stat.Panel(), title, question, unit, no_value)
        .with_target(_target(Query(expr, legend, instant=True), 0))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
        .graph_mode(c.BigValueGraphMode.NONE)
        .color_mode(c.BigValueColorMode.VALUE)
        .text_mode(c.BigValueTextMode.NAME if by_name else c.BigValueTextMode.AUTO)
        .thresholds(_thresholds(steps))
        # otherwise the text has the colour of the lowest threshold, which is green
        .mappings([*_mappings(mappings or {}), _unknown(no_value)])
    )
    if decimals is not None:
        made.decimals(decimals)
    if link:
        made.override_by_query("A", [d.DynamicConfigValue("links", _links(link))])
    return Panel(made, width, height)


def lines(
    title: str,
    question: str,
    *queries: Query,
    unit: str = "short",
    no_value: str = "No data",
    width: int = 8,
    height: int = 8,
    limit: float | None = None,
    meanings: Collection[str] = (),
    centred: bool = False,
    bars: bool = False,
    stepped: bool = False,
    maximum: float | None = None,
) -> Panel:
    """A time series; `limit` draws the threshold of an alert.

    `meanings` are keys of `COLORS` that a label of the legend may have.
    """
    made = (
        _titled(timeseries.Panel(), title, question, unit, no_value)
        .line_width(1)
        .fill_opacity(60 if bars else 8)
        .show_points(c.VisibilityMode.NEVER)
        .draw_style(c.GraphDrawStyle.BARS if bars else c.GraphDrawStyle.LINE)
        .legend(
            common.VizLegendOptions()
            .display_mode(c.LegendDisplayMode.LIST)
            .placement(c.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(
            common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING)
        )
    )
    if centred:
        made.axis_centered_zero(axis_centered_zero=True)
    else:
        # without a soft maximum, an all-zero series gets an axis up to 100
        made.min(0).axis_soft_max(_SOFT_MAX.get(unit, 1))
    if maximum is not None:
        made.max(maximum)
    if stepped:
        made.line_interpolation(c.LineInterpolation.STEP_AFTER)
    if limit is not None:
        made.thresholds(_thresholds(((None, GREEN), (limit, RED))))
        made.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED)
        )
    _color(made, queries, meanings)
    for index, query in enumerate(queries):
        made.with_target(_target(query, index))
    return Panel(made, width, height)


def _color(made: Any, queries: Sequence[Query], meanings: Collection[str]) -> None:
    """Give every series whose legend begins with a key of `COLORS` its colour."""
    first_words = {query.legend.partition(" ")[0] for query in queries}
    # shades tell the jobs apart
    mode = "shades" if any("{{job}}" in query.legend for query in queries) else "fixed"
    for meaning, color in COLORS.items():
        if meaning in first_words or meaning in meanings:
            look = [d.DynamicConfigValue("color", {"mode": mode, "fixedColor": color})]
            if meaning in _BOUNDS:
                look.append(d.DynamicConfigValue("custom.fillOpacity", 0))
            made.override_by_regexp(f"/^{meaning}( |$)/", look)


def heat(title: str, question: str, expr: str, *, width: int = 8, height: int = 8) -> Panel:
    """A heatmap of a histogram over time."""
    target = _target(Query(expr, "{{le}}"), 0).format(p.PromQueryFormat.HEATMAP)
    made = (
        _titled(heatmap.Panel(), title, question, "s", "No job has finished")
        .with_target(target)
        .calculate(calculate=False)
        .y_axis(heatmap.YAxisConfig().unit("s").axis_placement(c.AxisPlacement.LEFT))
        .cell_gap(1)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(hm.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .steps(32)
            .fill("dark-orange")
            .exponent(0.5)
            .reverse(reverse=False)
        )
    )
    return Panel(made, width, height)


def timeline(
    title: str,
    question: str,
    query: Query,
    *,
    mappings: Mapping[str, tuple[str, str]],
    no_value: str = "No data",
    width: int = 12,
    height: int = 8,
) -> Panel:
    """A state timeline."""
    made = (
        _titled(statetimeline.Panel(), title, question, "short", no_value)
        .with_target(_target(query, 0))
        .mappings(_mappings(mappings))
        .thresholds(_thresholds(((None, GREY),)))
        .show_value(c.VisibilityMode.AUTO)
        .merge_values(merge_values=True)
        .row_height(0.8)
        .fill_opacity(75)
        .line_width(0)
    )
    return Panel(made, width, height)


def rows(
    title: str,
    question: str,
    queries: Sequence[str],
    columns: Sequence[Column],
    *,
    sort: Sequence[str] = (),
    no_value: str = "No data",
    width: int = WIDTH,
    height: int = 9,
) -> Panel:
    """A table of instant queries, one row per label set; it shows only the named columns.

    `sort` has titles of columns, each with a minus if the largest comes first.
    """
    made = _titled(table.Panel(), title, question, "short", no_value)
    for index, expr in enumerate(queries):
        made.with_target(_target(Query(expr, instant=True), index).format(p.PromQueryFormat.TABLE))
    if len(queries) > 1:
        made.with_transformation(d.DataTransformerConfig(id_val="merge", options={}))
    fields = {column.name: _field(column.name, len(queries)) for column in columns}
    made.with_transformation(
        d.DataTransformerConfig(
            id_val="filterFieldsByName", options={"include": {"names": list(fields.values())}}
        )
    )
    made.with_transformation(
        d.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {},
                "indexByName": {name: i for i, name in enumerate(fields.values())},
                "renameByName": {fields[column.name]: column.title for column in columns},
            },
        )
    )
    made.sort_by(
        [
            common.TableSortByFieldState()
            .display_name(title.removeprefix("-"))
            .desc(desc=title.startswith("-"))
            for title in sort
        ]
    )
    for column in columns:
        made.override_by_name(column.title, _column_properties(column))
    return Panel(made, width, height)


def build(
    uid: str,
    title: str,
    question: str,
    content: Sequence[Row],
    variables: Sequence[Any],
    *,
    since: str,
) -> str:
    """The dashboard as formatted JSON."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(question)
        .tags([TAG])
        .refresh("30s")
        .time(since, "now")
        .timezone("browser")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("BullMQ")
            .type(d.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(as_dropdown=False)
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
    )
    for variable in variables:
        made.with_variable(variable)
    raw = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    raw["panels"] = _placed(content)
    raw["annotations"] = {"list": _ANNOTATIONS}
    return json.dumps(_cleaned(raw), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def source_variable() -> Any:
    """The variable for the Prometheus data source."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def label_variable(name: str, label: str, metric: str, *, multi: bool = True) -> Any:
    """A variable with the values of a label of a metric; `multi` adds All."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": f"label_values({metric}, {name})", "refId": name})
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=multi)
        .include_all(include_all=multi)
    )
    if multi:
        made.all_value(".+").current(d.VariableOption(text="All", value="$__all"))
    return made


def _annotation(
    name: str, color: str, expr: str, title: str, *, enable: bool = True
) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "name": name,
        "enable": enable,
        "iconColor": color,
        "datasource": source,
        "target": {"expr": expr, "refId": "A", "legendFormat": title, "datasource": source},
    }


_ANNOTATIONS: Final = [
    _annotation(
        "Paused",
        "yellow",
        'max by (job, connection, prefix, queue) (bullmq_queue_paused{job=~"$job", '
        'instance=~"$instance"}) == 1',
        "{{queue}} paused ({{job}})",
        enable=False,
    ),
    _annotation(
        "Exporter started",
        "blue",
        of_exporters(f"changes(process_start_time_seconds{where(CHOSEN)}[{RATE}]) > 0"),
        "{{instance}} started ({{job}})",
    ),
    _annotation(
        "Firing alerts",
        "red",
        # alerts without a job are about all jobs
        'ALERTS{alertname=~"BullMQ.+", alertstate="firing", severity="critical", job=~"$job|"}',
        "{{alertname}} {{connection}} {{queue}} ({{job}})",
    ),
]


def _titled(builder: Any, title: str, question: str, unit: str, no_value: str) -> Any:
    return (
        builder.title(title).description(question).datasource(SOURCE).unit(unit).no_value(no_value)
    )


def _target(query: Query, index: int) -> Any:
    made = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + index)).datasource(SOURCE)
    if query.legend:
        made.legend_format(query.legend)
    return made.instant() if query.instant else made.range()


def _thresholds(steps: Steps) -> Any:
    return (
        dashboard.ThresholdsConfig()
        .mode(d.ThresholdsMode.ABSOLUTE)
        .steps([d.Threshold(value=value, color=color) for value, color in steps])
    )


def _mappings(mappings: Mapping[str, tuple[str, str]]) -> list[Any]:
    if not mappings:
        return []
    options = {
        value: d.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(mappings.items())
    }
    return [d.ValueMap(options=options)]


def _unknown(text: str) -> Any:
    """The mapping of a value that is absent."""
    return d.SpecialValueMap(
        options=d.DashboardSpecialValueMapOptions(
            match=d.SpecialValueMatch.NULL_AND_NAN,
            result=d.ValueMappingResult(text=text, color=GREY),
        )
    )


def _field(name: str, queries: int) -> str:
    """Grafana's name for a table field: the label, or the value of a query."""
    if len(name) > 1:
        return name
    return f"Value #{name}" if queries > 1 else "Value"


def _column_properties(column: Column) -> list[Any]:
    # what is not remarkable, or unknown, has no colour
    steps = [{"value": v, "color": GREY if v is None else color} for v, color in column.steps]
    viz = {"viz": True, "legend": False, "tooltip": False}
    optional: dict[str, Any] = {
        "unit": column.unit,
        "custom.width": column.width,
        "mappings": _mappings(column.mappings),
        "thresholds": steps and {"mode": "absolute", "steps": steps},
        "custom.cellOptions": (steps or column.mappings) and {"type": "color-text"},
        "links": column.link and _links(column.link),
        "custom.hidden": column.hidden,
        # the name of `hidden` since Grafana 12
        "custom.hideFrom": column.hidden and viz,
    }
    # otherwise an empty cell shows the no-value text of the table
    values = {"noValue": "-"} | {name: value for name, value in optional.items() if value}
    if column.decimals is not None:
        values["decimals"] = column.decimals
    return [d.DynamicConfigValue(name, value) for name, value in values.items()]


def _links(link: tuple[str, str]) -> list[dict[str, str]]:
    title, url = link
    return [{"title": title, "url": url}]


def _placed(content: Sequence[Row]) -> list[dict[str, Any]]:
    """The panels as JSON, with positions, and ids that depend only on the order."""
    found: list[dict[str, Any]] = []
    y = 0
    for number, row in enumerate(content, 1):
        head: dict[str, Any] = {
            "type": "row",
            "title": row.title,
            "id": number * 100,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            "panels": [],
        }
        found.append(head)
        y += 1
        inner, end = _flow(row.panels, y, number * 100)
        if row.collapsed:
            head["panels"] = inner
        else:
            found += inner
            y = end
    return found


def _flow(panels: Sequence[Panel], y: int, first_id: int) -> tuple[list[dict[str, Any]], int]:
    """Place panels from left to right; a panel that does not fit starts a new line."""
    found = []
    x = line = 0
    for index, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, line = 0, y + line, 0
        raw = json.loads(json.dumps(panel.builder.build(), cls=JSONEncoder))
        raw["id"] = first_id + index
        raw["gridPos"] = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        found.append(raw)
        x += panel.width
        line = max(line, panel.height)
    return found, y + line


def _cleaned(raw: dict[str, Any]) -> dict[str, Any]:
    """Remove what the SDK adds but Grafana's schema does not allow."""
    raw.pop("id", None)
    raw["schemaVersion"] = 39
    raw["editable"] = False
    for link in raw.get("links", []):
        link.pop("placement", None)
    for variable in raw["templating"]["list"]:
        for name in [name for name in variable if name.startswith("auto") or name == "refId"]:
            del variable[name]
    for panel in [
        *raw["panels"],
        *(inner for row in raw["panels"] for inner in row.get("panels", [])),
    ]:
        if panel["type"] == "table":
            panel.get("options", {}).pop("footer", None)
    return raw
