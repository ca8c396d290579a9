"""Builds the wheel and the source distribution, and installs them in environments."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.requirements import beside_python

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> None:
    """Build both, like a release: the wheel from the source distribution."""
    # everything that isolation would download is installed
    words = ["build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run([sys.executable, "-m", *words])


def built_once(folder: Path) -> Path:
    """Build both once for several processes; the others wait for the first one."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.whl")):
            build(folder)
    return folder


def install(environment: Path, *packages: str) -> Path:
    """Create an environment with only these packages and their dependencies.

    Returns the folder of its programs.

    Uses uv, which is twenty times as fast as venv and pip; tests/e2e/test_image.py uses those.
    """
    uv = beside_python("uv")
    run([uv, "venv", "--quiet", "--python", python(), str(environment)])
    inside = ["--python", str(environment / "bin" / "python")]
    run([uv, "pip", "install", "--quiet", *inside, *packages])
    run([uv, "pip", "check", "--quiet", *inside])
    return environment / "bin"


def python() -> str:
    """The interpreter from which the tests' environment was created."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


def run(words: Sequence[str]) -> str:
    """The output of a program, which must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
