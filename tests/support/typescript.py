"""Checks data with TypeScript: an object may have only the fields of its type."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.requirements import missing, node_modules

_OPTIONS = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022")
_RESOLUTION = ("--module", "esnext", "--moduleResolution", "bundler")


def compiler_errors(folder: Path, programs: Mapping[str, str]) -> dict[str, str]:
    """The compiler's errors by program; programs without errors are omitted.

    Pass valid and invalid programs together: most of the time is spent on their imports.
    """
    modules = node_modules()
    compiler = modules / ".bin" / "tsc"
    if not compiler.exists():
        missing("typescript is not installed: npm ci --prefix tests/e2e/node")
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
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        # a line without a program belongs to the previous one
        name = line.partition(".ts(")[0] if ".ts(" in line else next(reversed(found), "")
        found[name] = found.get(name, "") + line + "\n"
    assert set(found) <= set(programs), done.stdout
    assert (done.returncode == 0) == (not found), done.stderr
    return found
