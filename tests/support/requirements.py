"""Programs that pip does not install: a test without one is skipped, but fails in CI."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_SERVERS = Path(__file__).parents[2] / ".servers"
"""What `.ci/servers` fetched."""


def require(program: str) -> str:
    """The program's path; without it the test is skipped, or fails in CI.

    Found on the PATH or among what `.ci/servers` fetched.
    """
    path = shutil.which(program) or shutil.which(program, path=str(_SERVERS / "bin"))
    if path is None:
        missing(f"{program} is not installed")
    return path


def fetched() -> Iterator[tuple[str, str]]:
    """The programs that `.ci/servers` fetched, with their versions."""
    file = _SERVERS / "versions"
    for line in file.read_text().splitlines() if file.exists() else ():
        name, version = line.split()
        yield name, version


def beside_python(program: str) -> str:
    """The path of a program that pip installed for the tests."""
    return str(Path(sys.executable).parent / program)


def missing(reason: str) -> None:
    """Skip the test for this reason, or fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, but CI installs everything that the tests need")
    pytest.skip(reason)


def node_modules() -> Path:
    """The folder of the Node libraries that the end-to-end tests use."""
    require("node")
    folder = Path(__file__).parent.parent / "e2e" / "node" / "node_modules"
    if not folder.is_dir():
        missing("Node's bullmq is not installed: npm ci --prefix tests/e2e/node")
    return folder
