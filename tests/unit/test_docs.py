"""The documentation names only what exists."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from docs.metrics_page import markdown
from exporter.cli import main
from exporter.metrics import CATALOGUE, Family, MetricType
from exporter.rules import ALERTS, RECORDINGS
from tests.support.commands import PAGES, Block, all_blocks, exporter_commands, name_of
from tests.support.migration import old_names
from tests.support.promql import kept_labels, selectors

ROOT = Path(__file__).parents[2]
FAMILIES = {family.name: family for family in CATALOGUE}
# labels of histograms and of Prometheus
OTHER_LABELS = {"instance", "job", "le"}


def names() -> set[str]:
    """Names of all families, and of the samples of histograms."""
    ends = ("_bucket", "_sum", "_count")
    parts = {f.name + end for f in CATALOGUE if f.kind is MetricType.HISTOGRAM for end in ends}
    return parts | set(FAMILIES)


def family_of(sample: str) -> Family:
    """The family of a sample, which may be part of a histogram."""
    return FAMILIES.get(sample) or FAMILIES[re.sub("_(bucket|sum|count)$", "", sample)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_metrics_exist(page: Path) -> None:
    recorded = set(re.findall(r"\b[a-z]+:bullmq_[a-z0-9_:]+", page.read_text()))
    assert recorded <= {rule.name for rule in RECORDINGS}
    known_here = names() | (old_names() if page.stem == "migration" else set())
    for name in re.findall(r"(?<!:)\bbullmq_[a-z_*]+", page.read_text()):
        assert any(fnmatch(known, name) for known in known_here), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_labels_exist(page: Path) -> None:
    for name, matchers in re.findall(r"\b(bullmq_[a-z_]+)\{([^}]*)\}", page.read_text()):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert labels <= set(family_of(name).labels) | OTHER_LABELS, name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_linked_files_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("family", CATALOGUE, ids=lambda family: family.name)
def test_an_example_queries_its_family_and_existing_labels(family: Family) -> None:
    asked = selectors(family.example)
    parts = names() - set(FAMILIES) if family.kind is MetricType.HISTOGRAM else {family.name}
    assert any(name in parts and name.startswith(family.name) for name, _ in asked)
    for name, labels in asked:
        assert name in names()
        assert set(labels) <= set(family_of(name).labels)


def test_docs_metrics_is_up_to_date() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == markdown(), "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_alerts_exist(page: Path) -> None:
    named = set(re.findall(r"\bBullMQ[A-Z]\w+", page.read_text()))
    assert named <= {alert.full_name for alert in ALERTS}


@pytest.mark.parametrize("block", all_blocks("promql"), ids=str)
def test_queries_parse_and_name_existing_metrics(block: Block) -> None:
    for name, labels in selectors(block.text):
        assert name in {*names(), *(rule.name for rule in RECORDINGS), "up"}
        if name in FAMILIES:
            assert set(labels) <= set(FAMILIES[name].labels)
    known = {label for family in CATALOGUE for label in family.labels} | OTHER_LABELS
    for _, kept in kept_labels(block.text):
        assert set(kept or ()) <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse(page: Path) -> None:
    for name, *arguments in exporter_commands(page.read_text()):
        # parses without running; an unknown option is an error
        main.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_outside_code_looks_like_an_html_tag(page: Path) -> None:
    """Markdown takes `<NAME>` outside code for HTML and omits it."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"<(?!!--)[^>\n]*>", re.sub(r"`[^`]*`", "", text)) == []


def test_every_page_begins_with_its_title() -> None:
    pages = (ROOT / "docs").glob("*.md")
    assert [page.name for page in pages if not page.read_text().startswith("# ")] == []
