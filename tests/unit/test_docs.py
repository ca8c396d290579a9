"""Documentation names only what there is."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from exporter.metrics import CATALOGUE, Kind

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
FAMILIES = {family.name: family for family in CATALOGUE}
# of a label's values, and of Prometheus' own
OTHER_LABELS = {"instance", "job", "le"}


def names() -> set[str]:
    """Families, and the samples of histograms."""
    ends = ("_bucket", "_sum", "_count")
    parts = {f.name + end for f in CATALOGUE if f.kind is Kind.HISTOGRAM for end in ends}
    return parts | set(FAMILIES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_metrics_exist(page: Path) -> None:
    for name in re.findall(r"\bbullmq_[a-z_*]+", page.read_text()):
        assert any(fnmatch(known, name) for known in names()), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_labels_exist(page: Path) -> None:
    for name, matchers in re.findall(r"\b(bullmq_[a-z_]+)\{([^}]*)\}", page.read_text()):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert labels <= set(FAMILIES[name].labels) | OTHER_LABELS, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
