"""The output and the exit code of the vulnerability audit."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / ".ci" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# as pip-audit 2.10 writes them
CLEAN = {"name": "h11", "version": "0.16.0", "vulns": []}
VULNERABLE = {
    "name": "h11",
    "version": "0.14.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.16.0"], "aliases": [], "description": ""}],
}
SKIPPED = {"name": "x", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "codes", "expected"),
    [
        ([CLEAN], (0, 0), ["1 of 1 packages audited"]),
        (
            [CLEAN, VULNERABLE],
            (1, 1),
            ["2 of 2 packages audited", "h11 0.14.0: PYSEC-1, fixed in 0.16.0"],
        ),
        (
            [CLEAN, SKIPPED],
            (0, 1),
            [
                "1 of 2 packages audited",
                f"NOT AUDITED: 1 packages, first reason: {SKIPPED['skip_reason']}",
            ],
        ),
    ],
)
def test_verdict_on_a_report(
    audit: ModuleType, packages: list[object], codes: tuple[int, int], expected: list[str]
) -> None:
    report = json.dumps({"dependencies": packages, "fixes": []})
    assert audit.verdict(report, "", required=False) == (expected, codes[0])
    assert audit.verdict(report, "", required=True) == (expected, codes[1])


def test_an_unreachable_service_fails_only_if_required(audit: ModuleType) -> None:
    errors = "Traceback …\nConnectionError: no way to the service\n"
    expected = ["NOT AUDITED: the vulnerability service is unreachable: ConnectionError: no way"]
    lines, code = audit.verdict("", errors, required=False)
    assert [line[: len(expected[0])] for line in lines] == expected
    assert code == 0
    assert audit.verdict("", errors, required=True)[1] == 1


def test_the_installed_pip_audit_is_compatible(audit: ModuleType) -> None:
    """Its options and report format; without packages, it needs no network."""
    assert audit.verdict(*audit.audit(""), required=True) == (["0 of 0 packages audited"], 0)
