"""`make brand` sets the owner in every address, however often it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.dist import ROOT

ADDRESS = re.compile(r"(?:github\.com/|ghcr\.io/|https://|--repo )OWNER\b|\bOWNER\.github\.io")
OTHER = "Acme-Jobs"
OWN = {".ci/brand.py", "tests/unit/test_brand.py", "exporter/rules/render.py"}
"""Files that name the placeholder to recognise it."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository without its pictures."""
    folder = tmp_path_factory.mktemp("branded") / "repository"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.endswith(".png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    brand(folder, "OWNER")
    return folder


def brand(folder: Path, *owner: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, ".ci/brand.py", *owner]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: path.read_text()
        for name, path in named.items()
        if not name.startswith(".git/") and "__pycache__" not in name
    }


def test_no_address_has_the_placeholder_afterwards(copy: Path) -> None:
    before = contents(copy)
    assert sum(bool(ADDRESS.search(text)) for text in before.values()) > 15
    assert brand(copy, OTHER).returncode == 0
    after = contents(copy)
    left = [name for name, text in after.items() if ADDRESS.search(text) and name not in OWN]
    assert left == []
    values = yaml.safe_load(after["deploy/helm/bullmq-exporter/values.yaml"])
    # names of images have no capitals
    assert values["image"]["repository"] == f"ghcr.io/{OTHER.lower()}/bullmq-exporter"
    assert f'Repository = "https://github.com/{OTHER}/bullmq-exporter"' in after["pyproject.toml"]

    assert brand(copy, OTHER).stdout == "0 files changed\n"
    assert contents(copy) == after
    assert brand(copy, "OWNER").returncode == 0
    assert contents(copy) == before


def test_generated_files_stay_up_to_date(copy: Path) -> None:
    brand(copy, "acme")
    program = (
        "from docs.chart import files\n"
        "from exporter.rules import DEFAULT_RUNBOOK_URL, is_placeholder, rules_file\n"
        "assert [path for path, text in files().items() if path.read_text() != text] == []\n"
        "assert not is_placeholder(DEFAULT_RUNBOOK_URL)\n"
        "print(rules_file(), end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (copy / "prometheus" / "bullmq.rules.yml").read_text()


@pytest.mark.parametrize("owner", [(), ("",), ("a b",), ("-a",), ("a/b",), ("a", "b")])
def test_what_is_no_owner_is_refused(copy: Path, owner: tuple[str, ...]) -> None:
    done = brand(copy, *owner)
    assert done.returncode == 2
    assert "usage: make brand OWNER=acme" in done.stderr
