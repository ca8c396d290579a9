"""TypeScript as a check of data: an object of a type may have no field that the type has not."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.requirements import missing, node_modules

_OPTIONS = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022")
_RESOLUTION = ("--module", "esnext", "--moduleResolution", "bundler")


def compiler_says(folder: Path, programs: Mapping[str, str]) -> str:
    """What the compiler finds in these programs, by the name of each; nothing if all is well."""
    modules = node_modules()
    compiler = modules / ".bin" / "tsc"
    if not compiler.exists():
        missing("typescript is not installed: npm install --prefix tests/e2e/node")
    (folder / "node_modules").symlink_to(modules)
    for name, text in programs.items():
        (folder / f"{name}.ts").write_text(text)
    done = subprocess.run(
        [compiler, *_OPTIONS, *_RESOLUTION, *(f"{name}.ts" for name in programs)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (not done.stdout), done.stderr
    return done.stdout
