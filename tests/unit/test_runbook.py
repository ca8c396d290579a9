"""The runbook is whole, and what it names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.cli import main
from exporter.metrics import CATALOGUE
from exporter.rules import ALERTS, RECORDINGS, Alert
from tests.support.dashboards import FILES, load, panels
from tests.support.promql import selectors

TEXT = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
PARTS = ["Means", "Look first", "Do", "Over when"]
DASHBOARDS = {
    dashboard["title"].removeprefix("BullMQ / "): {panel["title"] for panel in panels(dashboard)}
    for dashboard in map(load, FILES)
}
FAMILIES = {family.name: family for family in CATALOGUE}
METRICS = {*FAMILIES, *(rule.name for rule in RECORDINGS), "up"}


def sections() -> dict[str, str]:
    """Heading → text, in the runbook's order; the preface is not one."""
    found = re.split(r"^## (.+)\n", TEXT, flags=re.MULTILINE)[1:]
    assert len(set(found[::2])) == len(found[::2]), "a section is there twice"
    return dict(zip(found[::2], found[1::2], strict=True))


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found
    return found


def prose() -> str:
    """The text without code, one paragraph a line."""
    plain = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!\n)\n(?!\n)", " ", re.sub(r"`[^`]+`", "", plain))


def commands(text: str) -> list[list[str]]:
    """Arguments of every `bullmq-exporter` command, in blocks and in sentences."""
    found = re.findall(r"(?:^|`)bullmq-exporter ([^`\n|>]+)", text, flags=re.MULTILINE)
    return [shlex.split(command) for command in found]


def test_the_rules_have_their_sections_in_their_order() -> None:
    assert list(sections()) == [alert.full_name for alert in ALERTS]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_section_has_its_four_parts(alert: Alert) -> None:
    found = re.split(r"^\*\*(.+?)\*\*", sections()[alert.full_name], flags=re.MULTILINE)
    assert not found[0].strip()
    assert found[1::2] == PARTS
    assert all(re.search(r"\w", part) for part in found[2::2])


def test_commands_are_taken_by_the_command_line() -> None:
    for name, *arguments in commands(TEXT):
        command = main.commands[name]
        # parses without running: an option that is not there is an error
        command.make_context(name, [*arguments])


def test_settings_are_those_of_the_rules() -> None:
    changes = [
        arguments for arguments in commands(TEXT) if arguments[0] == "rules" and arguments[1:]
    ]
    assert len(changes) > len(ALERTS) / 2
    for arguments in changes:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output


def test_a_section_changes_its_own_alert_only() -> None:
    for heading, text in sections().items():
        for arguments in commands(text):
            named = {value.split(".")[0] for value in arguments if re.match("[A-Z]", value)}
            assert named <= {heading.removeprefix("BullMQ")}, heading


def test_metrics_exist() -> None:
    named = set(re.findall(r"[a-z:]*\bbullmq_[a-z0-9_:]+", TEXT))
    assert named
    assert named <= METRICS


def test_queries_parse_and_ask_for_what_exists() -> None:
    for query in blocks("promql"):
        for name, labels in selectors(query):
            assert name in METRICS
            assert set(labels) <= set(FAMILIES[name].labels)


def test_panels_exist_on_their_dashboards() -> None:
    quoted = re.findall(r'"([^"]*)"', prose())
    placed = re.findall(r'"([^"]*)" \(([^)]*)\)', prose())
    assert [panel for panel, _ in placed] == quoted, "a panel is named without its dashboard"
    example, *named = placed
    assert example == ("Panel", "Dashboard")
    assert [pair for pair in named if pair[0] not in DASHBOARDS.get(pair[1], ())] == []


def test_links_lead_somewhere() -> None:
    anchors = {f"#{heading.lower()}" for heading in sections()}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file = Path(__file__).parents[2] / "docs" / target
        assert target in anchors or file.is_file(), target
