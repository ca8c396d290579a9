"""Every code block in the docs has a language; every command is run or has a reason not to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from exporter.config.errors import ConfigError
from exporter.config.loader import load
from exporter.config.models import Config
from tests.support.commands import PAGES, REASONS, ROOT, Block, all_blocks
from tests.support.helm import CHART

LANGUAGES = {"sh", "text", "yaml", "promql", "mermaid"}
PROGRAMS = ("make", "pip", "bullmq-exporter", "curl", "kubectl", "docker", "systemctl", "promtool")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("block", all_blocks(), ids=str)
def test_a_code_block_has_a_language(block: Block) -> None:
    assert block.language in LANGUAGES
    if block.language != "sh":
        assert not any(line.startswith(PROGRAMS) for line in block.text.splitlines())


@pytest.mark.parametrize("block", all_blocks("sh"), ids=str)
def test_a_command_is_run_or_has_a_reason_not_to_be(block: Block) -> None:
    """tests/e2e/test_commands.py runs all others."""
    assert not block.mark or block.stays or block.reason in REASONS
    if block.reason:
        assert block.reason in block.text


def test_commands_in_the_exporters_container_are_in_its_image() -> None:
    """The image has no curl, jq or redis-cli."""
    inside = r"(?:kubectl|docker)[^\n`]* exec \S*exporter\S* (?:-- )?(\S+)"
    found = [name for page in PAGES for name in re.findall(inside, page.read_text())]
    assert len(found) > 3
    assert set(found) == {"bullmq-exporter"}


def test_most_commands_are_run() -> None:
    found = all_blocks("sh")
    assert len([block for block in found if not block.reason]) > 2 * len(found) / 3


def test_make_targets_exist() -> None:
    named = {
        target for b in all_blocks("sh") for target in re.findall(r"^make (\w+)", b.text, re.M)
    }
    assert named
    assert named <= TARGETS


def problems(file: Path) -> list[str]:
    """The errors of a configuration whose variables are all set."""
    variables = dict.fromkeys(re.findall(r"\$\{(\w+_URL)\}", file.read_text()), "redis://h")
    try:
        load(file, {"REDIS_PASSWORD": "secret"} | variables)
    except ConfigError as error:
        return [problem.message for problem in error.problems]
    return []


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_configurations_are_valid(block: Block, tmp_path: Path) -> None:
    data = yaml.safe_load(block.text)
    assert isinstance(data, dict)
    # else it is Prometheus' configuration, which promtool checks, or values of the chart
    if data.keys() <= Config.model_fields.keys() and not block.page.is_relative_to(CHART):
        file = tmp_path / "config.yaml"
        file.write_text(block.text)
        # the files that an example names do not exist here
        assert [each for each in problems(file) if "cannot read" not in each] == []
