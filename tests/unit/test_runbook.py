"""The runbook has a section for each alert, and names nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.metrics import CATALOGUE
from exporter.queues_table import SORTS
from exporter.rules import ALERTS, changed, without
from tests.support.dashboards import FILES, load, panels

TEXT = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
PARTS = ("Means", "Look first", "Do", "Over when")
# in italics, and not a panel
ELSEWHERE = {"Status → Targets", "By job name", "Overview", "Queue", "Redis and sync", "Exporter"}


def test_a_section_for_each_alert_in_the_order_of_the_rules() -> None:
    assert list(SECTIONS) == [alert.full_name for alert in ALERTS]


def test_every_section_has_its_parts() -> None:
    for name, text in SECTIONS.items():
        found = re.findall(r"^\*\*([^*]+)\*\* (\S.{15,})", text, re.MULTILINE)
        assert [part for part, _ in found] == list(PARTS), name


def test_settings_exist() -> None:
    for change in re.findall(r"--set (\S+?=\w+)", TEXT):
        assert changed(ALERTS, [change]) != ALERTS, change
    without(ALERTS, re.findall(r"--without (\w+)", TEXT))
    for setting in re.findall(r"`(\w+\.\w+)`,", TEXT):
        if setting[0].isupper():
            name, _, key = setting.partition(".")
            assert key in next(a for a in ALERTS if a.name == name).all_settings()


def test_metrics_exist() -> None:
    named = set(re.findall(r"`(bullmq_\w+)`", TEXT))
    assert named
    assert named <= {family.name for family in CATALOGUE}


def test_alerts_that_are_referred_to_exist() -> None:
    assert set(re.findall(r"\bBullMQ[A-Z]\w+", TEXT)) <= {alert.full_name for alert in ALERTS}


def test_panels_exist() -> None:
    titles = {panel["title"] for file in FILES for panel in panels(load(file))}
    named = {" ".join(name.split()) for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", TEXT)}
    assert named - ELSEWHERE <= titles


def test_sorts_exist() -> None:
    assert set(re.findall(r"--sort (\w+)", TEXT)) <= set(SORTS)
