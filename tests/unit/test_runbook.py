"""The runbook covers every alert, and everything that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.cli import main
from exporter.rules import ALERTS, Alert
from tests.support.commands import exporter_commands as commands
from tests.support.dashboards import FILES, load, panels

TEXT = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
PARTS = ["Meaning", "Diagnosis", "Fix", "Resolved when"]
DASHBOARDS = {
    dashboard["title"].removeprefix("BullMQ / "): {panel["title"] for panel in panels(dashboard)}
    for dashboard in map(load, FILES)
}


def sections() -> dict[str, str]:
    """The sections by heading, in the runbook's order, without the introduction."""
    found = re.split(r"^## (.+)\n", TEXT, flags=re.MULTILINE)[1:]
    assert len(set(found[::2])) == len(found[::2]), "a section appears twice"
    return dict(zip(found[::2], found[1::2], strict=True))


def prose() -> str:
    """The text without code, with one line per paragraph."""
    plain = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!\n)\n(?!\n)", " ", re.sub(r"`[^`]+`", "", plain))


def test_every_alert_has_a_section_in_the_order_of_the_rules() -> None:
    order = [alert.full_name for alert in ALERTS]
    assert list(sections()) == order, "docs/runbook.md follows exporter/rules/alerts.py"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_section_has_its_four_parts(alert: Alert) -> None:
    found = re.split(r"^\*\*(.+?)\*\*", sections()[alert.full_name], flags=re.MULTILINE)
    assert not found[0].strip()
    assert found[1::2] == PARTS
    assert all(re.search(r"\w", part) for part in found[2::2])


def test_settings_in_commands_exist() -> None:
    changes = [
        arguments for arguments in commands(TEXT) if arguments[0] == "rules" and arguments[1:]
    ]
    assert len(changes) > len(ALERTS) / 2
    for arguments in changes:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output


def test_a_section_changes_only_its_own_alert() -> None:
    for heading, text in sections().items():
        for arguments in commands(text):
            named = {value.split(".")[0] for value in arguments if re.match("[A-Z]", value)}
            assert named <= {heading.removeprefix("BullMQ")}, heading


def test_panels_exist_on_their_dashboards() -> None:
    quoted = re.findall(r'"([^"]*)"', prose())
    placed = re.findall(r'"([^"]*)" \(([^)]*)\)', prose())
    assert [panel for panel, _ in placed] == quoted, "a panel is quoted without its dashboard"
    example, *named = placed
    assert example == ("Panel", "Dashboard")
    assert [pair for pair in named if pair[0] not in DASHBOARDS.get(pair[1], ())] == []
