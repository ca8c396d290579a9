"""promtool checks the rules and runs their tests; promtool and amtool check the examples."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.rules import ALERTS, RECORDINGS, Options, grafana_rules
from exporter.rules.render import groups
from exporter.rules.slos import SLO_ALERTS
from tests.support.alert_tests import FILES, FOLDER, checks
from tests.support.prometheus import PROMTOOLS
from tests.support.requirements import require
from tests.support.yaml_text import parse


def run(*command: str) -> str:
    # promtool would spend a third of its time on garbage collection
    env = os.environ | {"GOGC": "400"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_promtool_accepts_the_rules(promtool: str) -> None:
    out = run(require(promtool), "check", "rules", "--lint=all", "bullmq.rules.yml")
    assert "SUCCESS" in out
    migration = sorted(map(str, FOLDER.glob("migration/*.yml")))
    out = run(require(promtool), "check", "rules", "--lint=all", *migration)
    assert out.count("SUCCESS") == len(migration)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_rules_pass_their_tests(file: Path, tmp_path: Path) -> None:
    """With the newest Prometheus; the live tests evaluate the same rules with an old one.

    promtool evaluates every rule of a file at every minute of every test. So each test gets a file
    with only the alerts that it names, and what these are made of.
    """
    whole = parse(file.read_text())
    files = [str(file)]
    if whole["rule_files"] == ["../bullmq.rules.yml"]:
        files = [str(each) for each in _split(whole, tmp_path)]
    run(require(PROMTOOLS[-1]), "test", "rules", *files)


def _split(whole: dict[str, Any], folder: Path) -> Iterator[Path]:
    """A file of tests for each set of alerts that tests name, with those rules."""
    rules = parse((FOLDER / "bullmq.rules.yml").read_text())["groups"]
    tests: dict[frozenset[str], list[Any]] = {}
    for test in whole["tests"]:
        exprs = " ".join(check["expr"] for check in test["promql_expr_test"])
        assert exprs.count("ALERTS{") == exprs.count('ALERTS{alertname="'), "it needs all alerts"
        named = {*re.findall(r'ALERTS\{alertname="(\w+)"', exprs)}
        named |= {each["alertname"] for each in test.get("alert_rule_test", ())}
        named |= {*re.findall(r"[\w:]+:[\w:]+", exprs)}
        tests.setdefault(frozenset(named), []).append(test)
    for number, (named, chosen) in enumerate(tests.items()):
        kept = _needed(rules, named)
        (folder / f"rules-{number}.yml").write_text(yaml.safe_dump({"groups": kept}))
        path = folder / f"tests-{number}.yml"
        path.write_text(
            yaml.safe_dump(whole | {"rule_files": [f"rules-{number}.yml"], "tests": chosen})
        )
        yield path


def _needed(rules: list[dict[str, Any]], named: frozenset[str]) -> list[dict[str, Any]]:
    """The groups with the named rules and the recordings that these use."""
    wanted = set(named)

    def kept(rule: dict[str, Any]) -> bool:
        return rule.get("alert", rule.get("record")) in wanted

    # in the file, a rule comes after those that it is made of
    for rule in reversed([rule for group in rules for rule in group["rules"]]):
        if kept(rule):
            wanted |= {*re.findall(r"[\w:]+:[\w:]+", rule["expr"])}
    return [group | {"rules": [*filter(kept, group["rules"])]} for group in rules]


def test_alerts_of_grafana_fire_as_those_of_prometheus(tmp_path: Path) -> None:
    """Without recording rules; the tests of SLOs, whose expressions differ most."""
    options = Options(only_slos=True)
    made = parse(grafana_rules(SLO_ALERTS, options, "x", "x"))["groups"][0]["rules"]
    queries = {rule["title"]: rule["data"][0]["model"]["expr"] for rule in made}
    alerts = groups(SLO_ALERTS, options)["groups"][-1]
    for rule in alerts["rules"]:
        rule["expr"] = queries[rule["alert"]]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [alerts]}))
    tests = parse((FOLDER / "tests" / "slos.yml").read_text())
    tests["rule_files"] = ["rules.yml"]
    del tests["group_eval_order"]
    tests["tests"] = [
        {name: value for name, value in test.items() if name != "alert_rule_test"}
        for test in tests["tests"]
        if test["name"].startswith("BullMQ")
    ]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    run(require(PROMTOOLS[-1]), "test", "rules", str(tmp_path / "tests.yml"))


def test_every_alert_has_a_firing_and_a_silent_case() -> None:
    found: dict[str, set[bool]] = {}
    for test, check in checks():
        name = test.partition(": ")[0]
        if name.startswith("BullMQ"):
            assert check["expr"] == f'ALERTS{{alertname="{name}", alertstate="firing"}}'
            found.setdefault(name, set()).add(bool(check["exp_samples"]))
    expected = {alert.full_name: {True, False} for alert in ALERTS}
    assert found == expected, "the name of a case begins with the alert's, as in 'BullMQX: fires'"


def test_every_recording_has_a_case() -> None:
    queried = " ".join(check["expr"] for _, check in checks() if check["exp_samples"])
    assert [rule.name for rule in RECORDINGS if rule.name not in queried] == []


@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_the_example_of_prometheus_is_valid(promtool: str) -> None:
    run(require(promtool), "check", "config", "prometheus.yml")


def test_the_example_of_alertmanager_is_valid() -> None:
    run(require("amtool"), "check-config", "alertmanager.yml")


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "pager"), ("warning", "tickets"), ("info", "none")]
)
def test_receivers_by_severity(severity: str, receiver: str) -> None:
    done = subprocess.run(
        [
            *(require("amtool"), "config", "routes", "test", "--config.file=alertmanager.yml"),
            *("alertname=BullMQNoWorkers", f"severity={severity}"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER,
    )
    assert done.stdout.strip() == receiver
