"""The rules for Grafana, Sloth and OpenSLO, checked against the formats that these document.

The models hold what Grafana's file provisioning, Sloth's `prometheus/v1` and OpenSLO's `openslo/v1`
permit by their documentation and types, as far as it is used here; nothing else passes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import promql_parser
import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from exporter.metrics import CATALOGUE
from exporter.rules import ALERTS, RECORDINGS
from exporter.rules.slos import SLO_ALERTS
from tests.support.command import command
from tests.support.promql import selectors
from tests.support.yaml_text import parse, parse_all

SLOS = """
slos:
  - {match: "mail*", start_within: 30s, objective: 99.5}
  - {match: "etl-*", run_within: 2h, objective: 99, name: nightly}
"""
Duration = Annotated[str, Field(pattern=r"^(\d+(ms|[smhdw]))+$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A DNS label, as OpenSLO wants it; Sloth permits more."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Camel(Strict):
    model_config = ConfigDict(alias_generator=to_camel)


# --- Grafana: the documentation and the types of file provisioning --------------------------------


class Range(Camel):
    from_: int = Field(alias="from", gt=0)
    to: int


class Query(Camel):
    ref_id: str
    relative_time_range: Range
    datasource_uid: str
    model: dict[str, Any]


class GrafanaRule(Camel):
    uid: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,40}$")
    title: str = Field(min_length=1, max_length=190)
    condition: str
    data: list[Query]
    no_data_state: Literal["Alerting", "NoData", "OK", "KeepLast"]
    exec_err_state: Literal["Alerting", "Error", "OK", "KeepLast"]
    missing: int = Field(alias="missing_series_evals_to_resolve")
    for_: Duration = Field(alias="for")
    labels: dict[str, str]
    annotations: dict[str, str]


class GrafanaGroup(Camel):
    org_id: int
    name: str
    folder: str
    interval: Duration
    rules: list[GrafanaRule]


class GrafanaFile(Camel):
    api_version: Literal[1]
    groups: list[GrafanaGroup]


# --- Sloth: pkg/prometheus/api/v1 -----------------------------------------------------------------


class SlothAlert(Strict):
    labels: dict[str, str]
    annotations: dict[str, str]


class SlothAlerting(Strict):
    name: str
    annotations: dict[str, str]
    page_alert: SlothAlert
    ticket_alert: SlothAlert


class SlothEvents(Strict):
    error_query: str
    total_query: str


class SlothIndicator(Strict):
    events: SlothEvents


class SlothSlo(Strict):
    name: Name
    objective: float = Field(gt=0, le=100)
    description: str
    labels: dict[str, str]
    sli: SlothIndicator
    alerting: SlothAlerting


class SlothSpec(Strict):
    version: Literal["prometheus/v1"]
    service: Name
    slos: list[SlothSlo]


# --- OpenSLO: the specification of openslo/v1 -----------------------------------------------------


class Metadata(Camel):
    name: Name


class ServiceSpec(Camel):
    description: str = Field(max_length=1050)


class Service(Camel):
    api_version: Literal["openslo/v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class SourceSpec(Camel):
    query: str


class MetricSource(Camel):
    type: Literal["Prometheus"]
    spec: SourceSpec


class Metric(Camel):
    metric_source: MetricSource


class RatioMetric(Camel):
    counter: bool
    bad: Metric
    total: Metric


class IndicatorSpec(Camel):
    ratio_metric: RatioMetric


class Indicator(Camel):
    metadata: Metadata
    spec: IndicatorSpec


class TimeWindow(Camel):
    duration: str = Field(pattern=r"^\d+[mhdwMQY]$")
    is_rolling: Literal[True]


class Objective(Camel):
    display_name: str
    target: float = Field(ge=0, lt=1)


class SloSpec(Camel):
    description: str = Field(max_length=1050)
    service: Name
    indicator: Indicator
    time_window: list[TimeWindow] = Field(min_length=1, max_length=1)
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: list[Objective] = Field(min_length=1)


class OpenSlo(Camel):
    api_version: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: SloSpec


@pytest.fixture
def slos(tmp_path: Path) -> str:
    """The path of a configuration with two SLOs."""
    file = tmp_path / "config.yaml"
    file.write_text(SLOS)
    return str(file)


def printed(*arguments: str) -> str:
    done = command("rules", "--runbook-url", "https://wiki.example/x", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class TestGrafana:
    def rules(self, *arguments: str) -> dict[str, GrafanaRule]:
        file = GrafanaFile.model_validate(parse(printed("--format=grafana", *arguments)))
        (group,) = file.groups
        assert len({rule.uid for rule in group.rules}) == len(group.rules)
        return {rule.title: rule for rule in group.rules}

    def test_every_alert_is_a_rule(self) -> None:
        found = self.rules()
        assert list(found) == [alert.full_name for alert in ALERTS]
        waits = {rule.title: rule.for_ for rule in found.values()}
        assert (waits["BullMQNoWorkers"], waits["BullMQEventGap"]) == ("5m", "0s")

    def test_any_value_fires_and_none_does_not(self) -> None:
        """As in Prometheus; an alert such as `bullmq_up == 0` has the value 0."""
        for rule in self.rules().values():
            query, any_value, above = rule.data
            assert [query.ref_id, any_value.ref_id, above.ref_id] == ["A", "B", "C"]
            assert all(each.model["refId"] == each.ref_id for each in rule.data)
            assert query.model["instant"]
            assert any_value.datasource_uid == above.datasource_uid == "__expr__"
            assert any_value.model["expression"].startswith("is_number($A) ||")
            assert above.model["expression"] == "B"
            assert above.model["conditions"] == [{"evaluator": {"type": "gt", "params": [0]}}]
            assert (rule.condition, rule.no_data_state, rule.exec_err_state) == ("C", "OK", "Error")

    def test_the_queries_need_no_recording_rules(self) -> None:
        recorded = {rule.name for rule in RECORDINGS}
        for rule in self.rules().values():
            names = {name for name, _ in selectors(rule.data[0].model["expr"])}
            assert not names & recorded, rule.title

    def test_templates_are_those_of_grafana(self) -> None:
        """Provisioning takes `$name` for a variable of the environment."""
        for rule in self.rules().values():
            texts = {**rule.labels, **rule.annotations}
            assert "$" not in str(texts), rule.title
        waiting = self.rules()["BullMQJobsWaitingTooLong"].annotations["description"]
        assert "of {{ .Labels.prefix }}:{{ .Labels.queue }} on" in waiting
        assert "{{ .Values.A.Value | humanizeDuration }}" in waiting

    def test_options(self) -> None:
        file = GrafanaFile.model_validate(
            parse(
                printed(
                    *("--format=grafana", "--slo", "--folder=Queues", "--datasource-uid=mimir"),
                    *("--set=ErrorBudgetBurns.above_rate=7", "--label=team=a"),
                )
            )
        )
        (group,) = file.groups
        assert group.folder == "Queues"
        assert [rule.title for rule in group.rules] == [alert.full_name for alert in SLO_ALERTS]
        rule = group.rules[1]
        assert rule.data[0].datasource_uid == "mimir"
        assert rule.data[0].model["datasource"] == {"type": "prometheus", "uid": "mimir"}
        assert rule.data[0].model["expr"].count(" > 7") == 2
        assert rule.labels == {"severity": "critical", "team": "a"}


FAMILIES = {family.name: family for family in CATALOGUE}


def counters_of(query: str, slo: str) -> set[str]:
    """The counters that a query asks for, all of them of this SLO."""
    promql_parser.parse(query)
    found = selectors(query)
    assert [labels for _, labels in found] == [{"slo": slo}] * len(found)
    names = {name for name, _ in found}
    assert all(FAMILIES[name].kind == "counter" for name in names)
    return {name.removeprefix("bullmq_slo_").removesuffix("_total") for name in names}


LATE = {"jobs": ({"late_jobs"}, {"jobs"}), "time": ({"late_seconds"}, {"seconds"})}
"""What is late, and of what, by the indicator at the end of a name."""


def test_sloth(slos: str) -> None:
    text = printed("--format=sloth", "--config", slos, "--name=queues")
    spec = SlothSpec.model_validate(parse(text))
    assert spec.service == "queues"
    assert [(slo.name, slo.objective) for slo in spec.slos] == [
        ("mail-start-within-30s-jobs", 99.5),
        ("mail-start-within-30s-time", 99.5),
        ("nightly-jobs", 99),
        ("nightly-time", 99),
    ]
    for slo in spec.slos:
        name, _, indicator = slo.name.rpartition("-")
        late, every = (
            counters_of(query.replace("{{.window}}", "5m"), name)
            for query in (slo.sli.events.error_query, slo.sli.events.total_query)
            if re.search(r"\[\{\{\.window\}\}\]", query)
        )
        assert (late, every) == LATE[indicator]
        assert slo.alerting.page_alert.labels == {"severity": "critical"}
        assert slo.alerting.ticket_alert.annotations == {
            "runbook_url": "https://wiki.example/x#bullmqerrorbudgetburnsslowly"
        }


def test_openslo(slos: str) -> None:
    text = printed("--format=openslo", "--config", slos)
    service, *documents = parse_all(text)
    assert Service.model_validate(service).metadata.name == "bullmq-exporter"
    found = [OpenSlo.model_validate(document) for document in documents]
    assert {slo.metadata.name: slo.spec.objectives[0].target for slo in found} == {
        "mail-start-within-30s-jobs": 0.995,
        "mail-start-within-30s-time": 0.995,
        "nightly-jobs": 0.99,
        "nightly-time": 0.99,
    }
    for slo in found:
        name, _, indicator = slo.metadata.name.rpartition("-")
        ratio = slo.spec.indicator.spec.ratio_metric
        late, every = (
            counters_of(metric.metric_source.spec.query, name)
            for metric in (ratio.bad, ratio.total)
        )
        assert (late, every) == LATE[indicator]
        assert ratio.counter


def test_only_the_rules_of_slos() -> None:
    found = parse(printed("--slo"))["groups"]
    assert [group["name"] for group in found] == ["bullmq-slo-recordings", "bullmq-alerts"]
    alerts = [alert.full_name for alert in SLO_ALERTS]
    assert [rule["alert"] for rule in found[1]["rules"]] == alerts
    everything = {str(r) for group in parse(printed())["groups"] for r in group["rules"]}
    assert all(str(rule) in everything for group in found for rule in group["rules"])


@pytest.mark.parametrize("format_", ["sloth", "openslo"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "the configuration has no slos; pass one that has any with --config"),
        ("slos: [{match: x}]", "line 1, slos.0.objective: is missing; add it"),
    ],
)
def test_without_valid_slos_nothing_is_printed(
    tmp_path: Path, format_: str, text: str, message: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    done = command("rules", f"--format={format_}", "--config", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
