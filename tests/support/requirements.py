"""Programs that pip does not install: a test without one is skipped, but fails in CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def require(program: str) -> str:
    """The program's path; without it the test is skipped, or fails in CI."""
    # without the folder of the tests' own environment, which may be activated: the wheel of Redis
    # 6.2 installs an old redis-server there
    own = str(Path(sys.executable).parent)
    folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each != own]
    path = shutil.which(program, path=os.pathsep.join(folders))
    if path is None:
        missing(f"{program} is not installed")
    return path


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
        missing("Node's bullmq is not installed: npm install --prefix tests/e2e/node")
    return folder
