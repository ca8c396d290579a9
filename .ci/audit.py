"""Asks whether anything that is installed has a known vulnerability; by pip-audit.

Where the vulnerability service cannot be asked, that is said and nothing fails, so that a machine
without a way there can run `make check`; with `--required` it fails, as it must where it counts.
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
    """The exit code: 1 for a vulnerability, or where `--required` could not be done."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    installed = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    lines, code = verdict(*asked(installed), required="--required" in arguments)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return code


def asked(requirements: str) -> tuple[str, str]:
    """pip-audit's report on packages with their versions, and its errors."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        options = ("--format=json", "--progress-spinner=off", "--no-deps", "--disable-pip")
        words = [str(BESIDE / "pip-audit"), *options, "--requirement", file.name]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


def verdict(report: str, errors: str, *, required: bool) -> tuple[list[str], int]:
    """What to say about pip-audit's report in JSON, and the exit code."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except ValueError:
        reason = errors.strip().rpartition("\n")[2] or "no answer"
        return [f"NOT AUDITED: the vulnerability service cannot be asked: {reason}"], int(required)
    vulnerable = [f"{p['name']} {p['version']}: {_told(p)}" for p in packages if p.get("vulns")]
    skipped = [p["skip_reason"] for p in packages if "skip_reason" in p]
    lines = [f"{len(packages) - len(skipped)} of {len(packages)} packages audited", *vulnerable]
    if skipped:
        lines.append(f"NOT AUDITED: {len(skipped)} packages, the first because: {skipped[0]}")
    return lines, int(bool(vulnerable) or (required and bool(skipped)))


def _told(package: dict[str, Any]) -> str:
    return ", ".join(
        f"{v['id']}, fixed in {' or '.join(v['fix_versions']) or 'no version'}"
        for v in package["vulns"]
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
