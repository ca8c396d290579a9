"""The rules file: up to date, its conventions, its settings, and error messages."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import promql_parser
import pytest

from exporter.collectors import Discovery
from exporter.collectors.queues import STATES
from exporter.diagnosis import Reason
from exporter.metrics import CATALOGUE, MetricType
from exporter.rules import (
    ALERTS,
    DEFAULT_RUNBOOK_URL,
    RECORDINGS,
    RuleError,
    RuleSettings,
    Severity,
    changed,
    is_placeholder,
    read_settings,
    rules_file,
    scaled,
)
from exporter.state.stuck import StuckKind
from exporter.state.unfinished_jobs import Rebase
from exporter.web.status.query import Query
from tests.support.alert_tests import firing_labels
from tests.support.command import command
from tests.support.promql import selectors
from tests.support.yaml_text import parse

COMMITTED = Path(__file__).parents[2] / "prometheus" / "bullmq.rules.yml"
FOREIGN = {"up"}


def rules_command(*arguments: str) -> dict[str, Any]:
    done = command("rules", *arguments)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = parse(done.stdout)
    return loaded


def alerts_of(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    rules = [rule for group in content["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


RULES = alerts_of(parse(rules_file()))


def test_the_committed_rules_are_up_to_date() -> None:
    assert command("rules").stdout == COMMITTED.read_text() == rules_file(), "run make docs"


EXPRESSIONS = [rule["expr"] for group in parse(rules_file())["groups"] for rule in group["rules"]]
LABELS = {
    sample: family.labels
    for family in CATALOGUE
    for sample in (
        [f"{family.name}_bucket", family.name]
        if family.kind is MetricType.HISTOGRAM
        else [family.name]
    )
}
VALUES = {
    "state": set(STATES),
    "reason": {*Reason, *Rebase},
    "kind": set(StuckKind),
    "collector": {Discovery.name, "queues", "events"},
}
"""Values that a matcher may name; an alert with any other value could never fire."""


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_expressions_parse_and_name_existing_series(expr: str) -> None:
    recorded = {rule.name for rule in RECORDINGS}
    for name, matchers in selectors(expr):
        assert name in set(LABELS) | recorded | FOREIGN
        for label, value in matchers.items():
            assert label in LABELS[name]
            assert set(value.split("|")) <= VALUES[label]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
class TestConventions:
    def test_alert_names(self, rule: dict[str, Any]) -> None:
        assert re.fullmatch("BullMQ([A-Z][a-z]+)+", rule["alert"])

    def test_labels_and_annotations_are_complete(self, rule: dict[str, Any]) -> None:
        assert set(rule["labels"]) - {"connection", "connections"} == {"severity"}
        assert rule["labels"]["severity"] in set(Severity)
        notes = rule["annotations"]
        assert list(notes) == ["summary", "description", "runbook_url", "dashboard_url"]
        assert len(re.sub(r"\{\{.*?\}\}", "payments", notes["summary"])) < 90
        assert notes["description"].endswith(".")
        assert "$value" not in str(rule["labels"])

    def test_expressions_are_suitable_for_alerts(self, rule: dict[str, Any]) -> None:
        assert "topk" not in rule["expr"]
        assert not re.search(r"\b(le|job_name)\b", rule["expr"])
        for window in re.findall(r"\[(\w+)\]", rule["expr"]):
            assert promql_parser.parse_duration(window).total_seconds() >= 60


class TestChanges:
    def test_change_a_threshold_and_a_duration(self) -> None:
        rule = alerts_of(
            rules_command(
                *("--set", "JobsWaitingTooLong.above_seconds=10m"),
                *("--set", "BullMQJobsWaitingTooLong.for=90"),
            )
        )["BullMQJobsWaitingTooLong"]
        assert ") > 600) unless" in rule["expr"]
        assert rule["for"] == "90s"

    def test_change_a_window_a_ratio_and_a_severity(self) -> None:
        rule = alerts_of(
            rules_command(
                *("--set", "HighFailureRatio.window=1h"),
                *("--set", "HighFailureRatio.above_ratio=0.2"),
                *("--set", "HighFailureRatio.severity=critical"),
            )
        )["BullMQHighFailureRatio"]
        assert rule["expr"].count("[1h]") == 7
        assert "> 0.2) and" in rule["expr"]
        assert rule["labels"]["severity"] == "critical"

    def test_omit_alerts(self) -> None:
        found = alerts_of(rules_command("--without", "NoWorkers", "--without", "BullMQEventGap"))
        assert set(RULES) - set(found) == {"BullMQNoWorkers", "BullMQEventGap"}

    def test_add_labels_and_base_urls(self) -> None:
        rule = alerts_of(
            rules_command(
                *("--label", "team=payments"),
                *("--runbook-url", "https://wiki.example/bullmq"),
                *("--grafana-url", "https://grafana.example/"),
            )
        )["BullMQNoWorkers"]
        assert rule["labels"] == {"severity": "critical", "team": "payments"}
        notes = rule["annotations"]
        assert notes["runbook_url"] == "https://wiki.example/bullmq#bullmqnoworkers"
        assert notes["dashboard_url"].startswith("https://grafana.example/d/bullmq-queue?var-job=")

    def test_links_to_dashboards_keep_the_job(self) -> None:
        """Each variable is a label with which the alert fires; else it would select nothing."""
        for name, fires_with in firing_labels().items():
            url = urlsplit(RULES[name]["annotations"]["dashboard_url"])
            chosen = dict(re.findall(r"var-(\w+)=\{\{ \$labels\.(\w+) ", url.query))
            assert chosen == {label: label for label in chosen}
            assert set(chosen) <= set(fires_with), name
            assert ("job" in chosen) == ("job" in fires_with), name

    def test_links_to_the_status_page(self) -> None:
        """The page's own parameters, with the labels of the alert."""
        rules = alerts_of(rules_command("--status-url", "https://bullmq.example/base/"))
        links = {name: rule["annotations"].get("status_url") for name, rule in rules.items()}
        base = "https://bullmq.example/base/"
        queue = (
            "?q={{ $labels.queue | urlquery }}&prefix={{ $labels.prefix | urlquery }}&connection="
        )
        assert links["BullMQNoWorkers"] == base + queue + "{{ $labels.connection | urlquery }}"
        assert links["BullMQWorkerIsolation"] == (
            base + queue + "{{ $labels.producer_connection | urlquery }}"
        )
        assert links["BullMQRedisUnreachable"] == (
            base + "?connection={{ $labels.connection | urlquery }}"
        )
        assert links["BullMQSyncTestFailing"] == base
        assert {name for name, link in links.items() if link is None} == {
            *("BullMQExporterDown", "BullMQExporterAbsent"),
        }
        for link in filter(None, links.values()):
            parameters = dict(parse_qsl(urlsplit(re.sub(r"\{\{.*?\}\}", "x", link)).query))
            assert set(parameters) <= set(Query.__slots__)

    def test_a_placeholder_runbook_url_is_a_warning(self) -> None:
        warning = "warning: runbook links begin with the placeholder"
        assert (warning in command("rules").stderr) == is_placeholder(DEFAULT_RUNBOOK_URL)
        assert command("rules", "--runbook-url", "https://wiki.example/x").stderr == ""
        assert command("rules", "--list").stderr == ""

    def test_a_kept_label_is_in_every_label_list(self) -> None:
        content = rules_command("--keep-label", "namespace")
        for rule in (rule for group in content["groups"] for rule in group["rules"]):
            for labels in re.findall(r"(?:by|on) \((job[^)]*)\)", rule["expr"]):
                if labels != "job, instance":
                    assert labels.startswith("job, namespace"), rule

    def test_prometheusrule_manifest(self) -> None:
        content = rules_command(
            *("--format", "prometheusrule", "--namespace", "monitoring", "--name", "queues")
        )
        assert content["apiVersion"] == "monitoring.coreos.com/v1"
        assert content["kind"] == "PrometheusRule"
        assert content["metadata"] == {"name": "queues", "namespace": "monitoring"}
        assert alerts_of(content["spec"]) == RULES

    @pytest.mark.parametrize("format_", ["prometheus", "prometheusrule"])
    def test_parts(self, format_: str) -> None:
        def names(*arguments: str) -> list[str]:
            content = rules_command("--format", format_, *arguments)
            return [group["name"] for group in content.get("spec", content)["groups"]]

        recordings, alerts = ["bullmq-recordings", "bullmq-slo-recordings"], ["bullmq-alerts"]
        assert names() == [*recordings, *alerts]
        assert names("--part=recordings") == recordings
        assert names("--part=alerts") == alerts
        assert names("--part=recordings", "--slo") == ["bullmq-slo-recordings"]

    def test_a_file_of_settings_is_as_good_as_options(self, tmp_path: Path) -> None:
        file = tmp_path / "settings.yaml"
        file.write_text(
            "set: {NoWorkers.for: 10m, HighFailureRatio.above_ratio: 0.2}\nwithout: [EventGap]\n"
            "labels: {team: a}\nkeep_labels: [namespace]\nrunbook_url: https://wiki.example/r\n"
            "grafana_url: https://g.example\nstatus_url: https://s.example\n"
        )
        options = (
            *("--set=NoWorkers.for=10m", "--set=HighFailureRatio.above_ratio=0.2"),
            *("--without=EventGap", "--label=team=a", "--keep-label=namespace"),
            *("--runbook-url=https://wiki.example/r", "--grafana-url=https://g.example"),
            "--status-url=https://s.example",
        )
        assert rules_command("--settings", str(file)) == rules_command(*options)
        more = ("--label=team=b", "--set=NoWorkers.for=1m", "--runbook-url=https://other")
        rule = alerts_of(rules_command("--settings", str(file), *more))["BullMQNoWorkers"]
        assert (rule["for"], rule["labels"]["team"]) == ("1m", "b")
        assert rule["annotations"]["runbook_url"].startswith("https://other#")

    def test_the_settings_of_the_mixin_are_the_defaults(self) -> None:
        done = command("rules", "--settings", str(COMMITTED.parent / "mixin.yml"))
        assert done.stdout == COMMITTED.read_text()
        written = parse((COMMITTED.parent / "mixin.yml").read_text())
        assert set(written) == {
            {"changes": "set"}.get(each.name, each.name)
            for each in dataclasses.fields(RuleSettings)
        }

    def test_the_list_names_every_setting(self) -> None:
        lines = command("rules", "--list").stdout.splitlines()
        assert [line.split()[0] for line in lines] == [alert.name for alert in ALERTS]
        waiting = next(line for line in lines if line.startswith("JobsWaitingTooLong "))
        assert waiting.split()[1:] == ["severity=warning", "for=5m", "above_seconds=300"]

    def test_scaled_rules_of_the_demo(self) -> None:
        rule = alerts_of(parse(rules_file(scaled(ALERTS, 1 / 20, 20))))
        assert ") > 15) unless" in rule["BullMQJobsWaitingTooLong"]["expr"]
        assert rule["BullMQJobsWaitingTooLong"]["for"] == "15s"
        assert rule["BullMQQueuePausedTooLong"]["for"] == "20s"
        assert "> 1000 and" in rule["BullMQBacklogGrowing"]["expr"]


ERRORS = {
    "NoWorkrs.for=1m": "unknown alert NoWorkrs; did you mean NoWorkers?",
    "Xyz.for=1m": "unknown alert Xyz; see bullmq-exporter rules --list",
    "NoWorkers": "NoWorkers: expected ALERT.SETTING=VALUE, such as NoWorkers.for=10m",
    "NoWorkers.for": "NoWorkers.for: expected ALERT.SETTING=VALUE, such as NoWorkers.for=10m",
    "NoWorkers.above=1": "NoWorkers has no setting above; available: severity, for",
    "NoWorkers.for=soon": "NoWorkers.for=soon: expected a number, such as 10m or 600",
    "NoWorkers.for=1.2.3m": "NoWorkers.for=1.2.3m: expected a number, such as 10m or 600",
    "NoWorkers.for=-5": "NoWorkers.for=-5: expected a finite number that is not negative",
    "BacklogGrowing.above_jobs=10m": "above_jobs=10m: expected a number, such as 0.2",
    "BacklogGrowing.above_jobs=nan": "expected a finite number that is not negative",
    "BacklogGrowing.window=0": "BacklogGrowing.window=0: a window must be longer than 0",
    "NoWorkers.severity=bad": "NoWorkers.severity=bad: expected one of critical, warning, info",
}


SETTINGS_ERRORS = {
    "set: [a]": "set: must be a mapping",
    "set: {NoWorkers.for: [1]}": "set.NoWorkers.for: must be a string or a number",
    "without: EventGap": "without: must be a list of names",
    "label: {a: b}": "label: unknown setting; did you mean labels?",
    "zzz: 1": "zzz: unknown setting; valid settings: set, without, labels,",
    "runbook_url: 5": "runbook_url: must be a string; quote it",
    "- a": "must be a mapping of settings to values",
    "{": "not valid YAML: ",
    "\xff": "the settings are not UTF-8",
}


@pytest.mark.parametrize("text", SETTINGS_ERRORS)
def test_errors_of_settings(text: str) -> None:
    with pytest.raises(RuleError, match=re.escape(SETTINGS_ERRORS[text])):
        read_settings(text.encode("latin-1"))


@pytest.mark.parametrize("change", ERRORS)
def test_error_messages(change: str) -> None:
    with pytest.raises(RuleError, match=re.escape(ERRORS[change])):
        changed(ALERTS, [change])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "NoWorkers.above=1"], "NoWorkers has no setting above"),
        (["--without", "Nothing"], "unknown alert Nothing"),
        (["--settings", "/nowhere.yml"], "/nowhere.yml: No such file or directory"),
        (["--label", "team"], "team: expected NAME=VALUE, such as team=payments"),
        (["--label", "my-team=x"], "my-team is not a valid label name; use letters, digits and _"),
        (["--keep-label", "a b"], "a b is not a valid label name"),
    ],
)
def test_errors_exit_with_2_and_print_no_rules(arguments: list[str], message: str) -> None:
    done = command("rules", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
