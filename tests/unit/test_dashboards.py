"""The dashboards without a server: generated, linted, and true to the catalogue."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from exporter.diagnosis import Reason
from exporter.metrics import CATALOGUE, MetricType
from exporter.rules import ALERTS, RECORDINGS, rules_file, threshold
from grafana.__main__ import dashboards
from grafana.importable import importable
from grafana.panels import COLORS
from grafana.thresholds import REASONS
from tests.support.dashboards import (
    FILES,
    FOLDER,
    VALUES,
    Dashboard,
    filled,
    load,
    panels,
    targets,
    variable_query,
    variables,
)
from tests.support.promql import kept_labels, selectors
from tests.support.yaml_text import parse

# Grafana's own names of what we show; a wrong one is shown as a bare number
UNITS = {"short", "s", "cps", "percentunit", "bytes", "dtdurations"}
# a unit of ours after "count:"
OUR_UNITS = {f"count:{what}/s" for what in ("jobs", "attempts", "events", "commands")}
TYPES = {"stat", "timeseries", "table", "heatmap", "state-timeline"}
# variables that stay what they are, so that matchers show them
NAMES = {name: value if name.startswith("__") else f"${name}" for name, value in VALUES.items()}
# what Prometheus and its client add to every target
FOREIGN = {
    "up",
    "ALERTS",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
}
IMPORTED = sorted((FOLDER.parent / "import").glob("*.json"))
NOT_SHOWN = {
    "bullmq_queue_groups": "for BullMQ Pro alone; the status page says what it means",
    "bullmq_exporter_config_last_reload_success_timestamp_seconds": "of use in queries alone",
    "bullmq_redis_memory_fragmentation_ratio": "used and resident memory are side by side",
}
FIXED_WINDOWS = {
    "Worst failure ratio": "it is what the alert looks at, in the alert's window",
}


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    return load(request.param)


def test_what_is_committed_is_what_the_code_makes() -> None:
    made = dashboards()
    assert {file.name: file.read_text() for file in FILES} == made, "run make docs"
    assert FOLDER.is_dir()
    imported = {file.name: file.read_text() for file in IMPORTED}
    assert imported == {name: importable(text) for name, text in made.items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_to_import_asks_for_its_data_source(file: Path) -> None:
    """With its input filled in, it is the provisioned one without its variable."""
    text = (FOLDER.parent / "import" / file.name).read_text()
    made, provisioned = json.loads(text), load(file)
    (asked,) = made.pop("__inputs")
    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    requires = {(each["type"], each["id"]) for each in made.pop("__requires")}
    kinds = {("panel", panel["type"]) for panel in panels(provisioned)}
    assert requires == kinds | {("grafana", "grafana"), ("datasource", "prometheus")}
    assert "${datasource" not in text
    assert made.pop("__elements") == {}
    assert (made.pop("id"), made.pop("editable"), provisioned.pop("editable")) == (
        None,
        True,
        False,
    )
    source, *others = provisioned["templating"]["list"]
    assert source["name"] == "datasource"
    expected = provisioned | {"templating": {"list": others}}
    filled_in = json.dumps(made).replace(f"${{{asked['name']}}}", "prom")
    unpassed = json.dumps(expected).replace("&${datasource:queryparam}", "")
    assert json.loads(filled_in) == json.loads(unpassed.replace("${datasource}", "prom"))


def test_expressions_parse(dashboard: Dashboard) -> None:
    for _, target in targets(dashboard):
        promql_parser.parse(filled(target["expr"]))
    for annotation in dashboard["annotations"]["list"]:
        promql_parser.parse(filled(annotation["target"]["expr"]))


def test_the_head(dashboard: Dashboard) -> None:
    assert re.fullmatch("bullmq-[a-z]+", dashboard["uid"])
    assert dashboard["title"].startswith("BullMQ / ")
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["bullmq"]
    assert dashboard["refresh"] == "30s"
    assert dashboard["schemaVersion"] == 39
    assert "__inputs" not in dashboard
    (link,) = dashboard["links"]
    assert (link["tags"], link["includeVars"], link["keepTime"]) == (["bullmq"], True, True)


def test_variables(dashboard: Dashboard) -> None:
    found = {variable["name"]: variable for variable in variables(dashboard)}
    labels = {name: variable["label"] for name, variable in found.items()}
    assert list(labels.items())[:3] == [
        ("datasource", "Data source"),
        ("job", "Job"),
        ("instance", "Instance"),
    ]
    # a queue is of one job
    assert found["job"]["multi"] is (dashboard["uid"] != "bullmq-queue")
    text = json.dumps(dashboard)
    for name, variable in found.items():
        assert text.count(f"${name}") or text.count(f"${{{name}}}"), f"{name} is not used"
        if name == "datasource":
            continue
        selector, label = variable_query(variable)
        promql_parser.parse(filled(selector))
        assert label == name
        assert variable["refresh"] == 2  # at each change of the time range
        assert variable["datasource"]["uid"] == "${datasource}"
        if variable.get("multi"):
            assert variable["includeAll"]
            assert variable["allValue"] == (".*" if name == "job_name" else ".+")


def test_panels_say_what_they_answer(dashboard: Dashboard) -> None:
    for panel in panels(dashboard):
        title = panel["title"]
        assert panel["type"] in TYPES, title
        assert "?" in panel["description"], f"{title}: the description is a question"
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS | OUR_UNITS, title
        assert defaults["noValue"], title
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title
        assert panel["targets"], title
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", title


def test_ids_and_places(dashboard: Dashboard) -> None:
    every = [
        *dashboard["panels"],
        *(p for row in dashboard["panels"] for p in row.get("panels", [])),
    ]
    ids = [panel["id"] for panel in every]
    assert len(set(ids)) == len(ids)
    assert 0 not in ids
    assert sum(panel["type"] != "row" for panel in dashboard["panels"]) <= 25
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
    # no gaps: panels side by side fill the width, and are of one height
    for panels_of_row in (
        [p for p in dashboard["panels"] if p["type"] != "row"],
        *(row.get("panels", []) for row in dashboard["panels"]),
    ):
        lines: dict[int, list[dict[str, int]]] = {}
        for panel in panels_of_row:
            lines.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
        for places in lines.values():
            assert sum(place["w"] for place in places) == 24
            assert len({place["h"] for place in places}) == 1
    for one, other in combinations(dashboard["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_selectors_follow_the_variables(dashboard: Dashboard) -> None:
    recorded = {rule.name for rule in RECORDINGS}
    for title, target in targets(dashboard):
        for name, matchers in selectors(filled(target["expr"], NAMES)):
            if name == "ALERTS":
                assert matchers["job"] == "$job|"  # some are about all jobs
                continue  # alerts about exporters have other labels than alerts about queues
            assert matchers.get("job") == "$job", (title, name)
            if name not in recorded:
                assert matchers.get("instance") == "$instance", (title, name)
            if "queue" in labels_of(name) and name != "bullmq_worker_isolation":
                assert matchers.get("queue") == "$queue", (title, name)


def test_what_every_target_has_is_shown_of_exporters_alone(dashboard: Dashboard) -> None:
    """Services may have the job of the exporter."""
    of_exporters = (
        " and on (job, instance) last_over_time("
        'bullmq_exporter_build_info{job=~"$job", instance=~"$instance"}[1h])'
    )
    annotations = [each["target"] for each in dashboard["annotations"]["list"]]
    for target in [*annotations, *(target for _, target in targets(dashboard))]:
        shown = {name for name, _ in selectors(filled(target["expr"]))}
        if shown & (FOREIGN - {"ALERTS"}):
            assert target["expr"].endswith(of_exporters), target["expr"]


def test_rates_have_the_interval_that_grafana_gives(dashboard: Dashboard) -> None:
    for title, target in targets(dashboard):
        windows = re.findall(r"(?:rate|increase|changes)\([^\[\]]+\[([^\]]+)\]", target["expr"])
        if title not in FIXED_WINDOWS:
            assert set(windows) <= {"$__rate_interval", "$__range"}, title


def test_counters_are_only_shown_as_rates(dashboard: Dashboard) -> None:
    for title, target in targets(dashboard):
        for counter in re.finditer(r"(\w+\()?(\w+_total)\b", target["expr"]):
            assert counter[1] in {"rate(", "increase("}, (title, counter[2])


def test_gauges_of_queues_are_taken_once(dashboard: Dashboard) -> None:
    """Two exporters on the same Redis double nothing: no sum takes a gauge as it is."""
    for title, target in targets(dashboard):
        for summed in re.findall(r"sum(?: by \([^)]*\))? \((bullmq_\w+)\{", target["expr"]):
            assert re.search(r"_(total|bucket|count)$", summed), (title, summed)


def test_every_aggregation_keeps_the_job(dashboard: Dashboard) -> None:
    """Two jobs are two environments, which no panel adds up or mixes."""
    annotations = [(each["name"], each["target"]) for each in dashboard["annotations"]["list"]]
    for title, target in (*targets(dashboard), *annotations):
        for operator, labels in kept_labels(filled(target["expr"])):
            assert "job" in (labels or ()), (title, operator)


def test_jobs_are_told_apart_where_several_are_shown(dashboard: Dashboard) -> None:
    """A legend or a column says of which job a series is."""
    if not next(v for v in variables(dashboard) if v["name"] == "job")["multi"]:
        return
    for panel in panels(dashboard):
        if panel["type"] == "table":
            names = {
                override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]
            }
            assert "Job" in names, panel["title"]
        else:
            for target in panel["targets"]:
                assert "{{job}}" in target["legendFormat"], panel["title"]
    for annotation in dashboard["annotations"]["list"]:
        assert "{{job}}" in annotation["target"]["legendFormat"]


def test_rates_of_jobs_have_their_unit(dashboard: Dashboard) -> None:
    for panel in panels(dashboard):
        counted = r"rate\(bullmq_queue_jobs_\w+_total"
        if panel["type"] in {"stat", "timeseries"} and re.search(counted, str(panel["targets"])):
            unit = panel["fieldConfig"]["defaults"]["unit"]
            if " / " not in str(panel["targets"]):
                assert unit == "count:jobs/s", panel["title"]


def colors_of(panel: dict[str, Any]) -> dict[str, str]:
    """First word of a legend → colour."""
    return {
        override["matcher"]["options"].removeprefix("/^").removesuffix("( |$)/"): prop["value"][
            "fixedColor"
        ]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "color"
    }


def test_what_is_unknown_is_never_green(dashboard: Dashboard) -> None:
    """An absent value has a text without a colour; in a table, so has what is not remarkable."""
    for panel in panels(dashboard):
        if panel["type"] == "stat":
            defaults = panel["fieldConfig"]["defaults"]
            (absent,) = [m["options"] for m in defaults["mappings"] if m["type"] == "special"]
            assert absent["match"] == "null+nan"
            assert absent["result"]["text"] == defaults["noValue"]
            assert absent["result"]["color"] == "text"
        if panel["type"] == "table":
            for override in panel["fieldConfig"]["overrides"]:
                for prop in override["properties"]:
                    if prop["id"] == "thresholds":
                        assert prop["value"]["steps"][0] == {"value": None, "color": "text"}


def test_a_meaning_has_one_colour() -> None:
    """On every dashboard, and no two series of a panel have the same."""
    found: dict[str, set[str]] = {}
    for panel in (panel for file in FILES for panel in panels(load(file))):
        colors = colors_of(panel)
        assert len(set(colors.values())) == len(colors), panel["title"]
        for meaning, color in colors.items():
            found.setdefault(meaning, set()).add(color)
        words = {target.get("legendFormat", "").split(" ")[0] for target in panel["targets"]}
        if panel["type"] == "timeseries":
            assert words & set(COLORS) <= set(colors), panel["title"]
    assert found == {meaning: {color} for meaning, color in COLORS.items()}


def test_legends_name_labels_that_survive(dashboard: Dashboard) -> None:
    for title, target in targets(dashboard):
        for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
            assert label in target["expr"] or label in labels_of_all(target["expr"]), title


def test_links_lead_to_our_dashboards() -> None:
    ours = {load(file)["uid"] for file in FILES}
    assert ours == {file.stem for file in FILES}
    for file in FILES:
        assert set(re.findall(r'"/d/([\w-]+)', file.read_text())) <= ours
    assert {alert.dashboard for alert in ALERTS} <= ours


def links_of(panel: dict[str, Any]) -> list[tuple[str, str]]:
    """(column, URL) of every link of a panel; of a stat, the column is a query."""
    return [
        (override["matcher"]["options"], link["url"])
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "links"
        for link in prop["value"]
    ]


def test_links_keep_the_job_of_what_is_clicked() -> None:
    """And everything else that is selected; a field that a link names is a column."""
    found = 0
    for panel in (panel for file in FILES for panel in panels(load(file))):
        columns = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
        for _, url in links_of(panel):
            fields = set(re.findall(r"\$\{__data\.fields\.(\w+)", url))
            assert fields <= columns, panel["title"]
            if url.startswith("/d/"):
                found += 1
                job = re.search(r"var-job=\$\{(?:__data\.fields\.Job|__field\.labels\.job)\}", url)
                assert job, panel["title"]
                for kept in ("__url_time_range", "datasource:queryparam", "instance:queryparam"):
                    assert f"${{{kept}}}" in url, panel["title"]
    assert found == 4


def test_every_reason_has_a_text_and_a_colour() -> None:
    assert set(REASONS) == set(Reason)
    (panel,) = [p for p in panels(load(FOLDER / "bullmq-queue.json")) if p["title"] == "Blocked by"]
    mapping = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    numbered = re.findall(
        r'(\d+) \* max by \(job\) \([^"]*[^}]*reason="(\w+)"', panel["targets"][0]["expr"]
    )
    shown = {reason: mapping[number]["text"] for number, reason in numbered}
    assert shown == {reason: reason.replace("_", " ") for reason in Reason}


def test_blocked_queues_are_those_of_the_alert() -> None:
    overview = {panel["title"]: panel for panel in panels(load(FOLDER / "bullmq-overview.json"))}
    stat = overview["Blocked queues"]
    assert stat["gridPos"]["y"] == min(panel["gridPos"]["y"] for panel in overview.values())
    ((name, matchers), *_) = selectors(filled(stat["targets"][0]["expr"]))
    alert = next(alert for alert in ALERTS if alert.name == "QueueBlocked")
    assert name == "bullmq_queue_blocked"
    assert f'{name}{{reason!~"{matchers["reason"]}"}}' in alert.expr
    steps = stat["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == [(None, "green"), (1, "red")]
    ((_, url),) = links_of(stat)
    shown = re.search(r"viewPanel=(\d+)", url)
    assert shown
    assert int(shown[1]) == overview["Queues without progress"]["id"]


def test_firing_alerts_link_to_their_runbook() -> None:
    """The link is the one of the rule; a hidden column shows the anchor for the name."""
    overview = load(FOLDER / "bullmq-overview.json")
    (panel,) = [panel for panel in panels(overview) if panel["title"] == "Firing alerts"]
    ((_, url),) = [link for link in links_of(panel) if link[0] == "Alert"]
    properties = {
        override["matcher"]["options"]: {
            prop["id"]: prop["value"] for prop in override["properties"]
        }
        for override in panel["fieldConfig"]["overrides"]
    }
    (mapping,) = properties["Runbook"]["mappings"]
    assert properties["Runbook"]["custom.hidden"]
    assert properties["Runbook"]["custom.hideFrom"]["viz"]
    rules = parse(rules_file())["groups"]
    expected = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in rules
        for rule in group["rules"]
        if "alert" in rule
    }
    links = {
        name: url.replace("${__data.fields.Runbook.text}", shown["text"])
        for name, shown in mapping["options"].items()
    }
    assert links == expected


def test_firing_alerts_are_sorted_by_severity() -> None:
    overview = load(FOLDER / "bullmq-overview.json")
    (panel,) = [panel for panel in panels(overview) if panel["title"] == "Firing alerts"]
    first, _ = panel["options"]["sortBy"]
    assert (first["displayName"], first.get("desc", False)) == ("Severity", False)
    expr = panel["targets"][0]["expr"]
    ranked = re.findall(r'(\d) \* ALERTS\{[^}]*severity="(\w+)"', expr)
    assert [severity for _, severity in sorted(ranked)] == ["critical", "warning", "info"]


def test_thresholds_are_those_of_the_alerts() -> None:
    overview = load(FOLDER / "bullmq-overview.json")
    steps = {
        panel["title"]: [
            step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for panel in panels(overview)
        if "thresholds" in panel["fieldConfig"]["defaults"]
    }
    assert steps["Oldest waiting job"][-1] == threshold("JobsWaitingTooLong", "above_seconds")
    assert steps["Data age"][-1] == threshold("CollectionStale", "above_seconds")
    assert steps["Worst failure ratio"][1:] == [
        threshold("HighFailureRatio", "above_ratio"),
        threshold("VeryHighFailureRatio", "above_ratio"),
    ]


def sample_names() -> dict[str, str]:
    """Name of a sample → name of its family."""
    found = {}
    for family in CATALOGUE:
        ends = ("", "_bucket", "_sum", "_count") if family.kind is MetricType.HISTOGRAM else ("",)
        found |= {family.name + end: family.name for end in ends}
    return found


def labels_of(name: str) -> tuple[str, ...]:
    families = {family.name: family for family in CATALOGUE}
    family = families.get(sample_names().get(name, ""))
    return (*family.labels, "le") if family else ()


def labels_of_all(expr: str) -> set[str]:
    names = re.findall(r"\b(?:bullmq|process|scrape|up)\w*", expr)
    return {label for name in names for label in labels_of(name)} | {"instance", "job"}


def used() -> set[str]:
    """Names of all samples that dashboards and rules ask for."""
    expressions = [filled(t["expr"]) for file in FILES for _, t in targets(load(file))]
    rules = Path("prometheus/bullmq.rules.yml").read_text()
    names = {name for expr in expressions for name, _ in selectors(expr)}
    return names | set(re.findall(r"\bbullmq_\w+", rules))


def test_every_metric_exists() -> None:
    known = set(sample_names()) | FOREIGN | {rule.name for rule in RECORDINGS}
    asked = {
        name
        for file in FILES
        for _, t in targets(load(file))
        for name, _ in selectors(filled(t["expr"]))
    }
    assert asked <= known


def test_every_matcher_is_a_label(dashboard: Dashboard) -> None:
    for title, target in targets(dashboard):
        for name, matchers in selectors(filled(target["expr"])):
            if name.startswith("bullmq"):
                assert set(matchers) <= {"job", "instance", *labels_of(name)}, (title, name)


def test_every_family_is_used_or_left_out_for_a_reason() -> None:
    families = {sample_names().get(name, name) for name in used()}
    missing = {family.name for family in CATALOGUE} - families
    assert not missing - set(NOT_SHOWN), "show it in a panel, or give the reason in NOT_SHOWN"
    assert not set(NOT_SHOWN) - missing, "remove from NOT_SHOWN"
