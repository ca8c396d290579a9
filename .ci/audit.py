"""Checks the installed packages for known vulnerabilities with pip-audit.

An unreachable vulnerability service is reported but does not fail, so that `make check` works
offline. With `--required`, as in CI, it fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BESIDE = Path(sys.executable).parent


def main(*arguments: str) -> int:
    """Return the exit code: 1 for a vulnerability, or if a `--required` audit was not possible."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    installed = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    lines, code = verdict(*audit(installed), required="--required" in arguments)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return code


def audit(requirements: str) -> tuple[str, str]:
    """Run pip-audit on pinned requirements; return its JSON report and its error output."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        options = ("--format=json", "--progress-spinner=off", "--no-deps", "--disable-pip")
        command = [str(BESIDE / "pip-audit"), *options, "--requirement", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


def verdict(report: str, errors: str, *, required: bool) -> tuple[list[str], int]:
    """Return the lines to print for pip-audit's JSON report, and the exit code."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except ValueError:
        reason = errors.strip().rpartition("\n")[2] or "no output"
        return [f"NOT AUDITED: the vulnerability service is unreachable: {reason}"], int(required)
    vulnerable = [f"{p['name']} {p['version']}: {_describe(p)}" for p in packages if p.get("vulns")]
    skipped = [p["skip_reason"] for p in packages if "skip_reason" in p]
    lines = [f"{len(packages) - len(skipped)} of {len(packages)} packages audited", *vulnerable]
    if skipped:
        lines.append(f"NOT AUDITED: {len(skipped)} packages, first reason: {skipped[0]}")
    return lines, int(bool(vulnerable) or (required and bool(skipped)))


def _describe(package: dict[str, Any]) -> str:
    return ", ".join(
        f"{v['id']}, fixed in {' or '.join(v['fix_versions']) or 'no version'}"
        for v in package["vulns"]
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
