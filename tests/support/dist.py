"""Wheel and source distribution of this tree, and environments that they are installed in."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.requirements import beside_python

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> None:
    """As a release does: the wheel is made from the source distribution."""
    # what isolation would fetch is installed
    words = ["build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run([sys.executable, "-m", *words])


def built_once(folder: Path) -> Path:
    """The same, by the first of several processes that name the folder; the others wait for it."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.whl")):
            build(folder)
    return folder


def install(environment: Path, *wanted: str) -> Path:
    """A new environment with these packages and what they need, and no more; its programs.

    By uv, which takes a twentieth of the time of venv and pip; tests/e2e/test_image.py uses those.
    """
    uv = beside_python("uv")
    run([uv, "venv", "--quiet", "--python", python(), str(environment)])
    inside = ["--python", str(environment / "bin" / "python")]
    run([uv, "pip", "install", "--quiet", *inside, *wanted])
    run([uv, "pip", "check", "--quiet", *inside])
    return environment / "bin"


def python() -> str:
    """The interpreter that the tests' own environment was made from."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


def run(words: Sequence[str]) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
