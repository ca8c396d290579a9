"""The systemd unit, checked by systemd, and the command that it starts."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from exporter.cli.commands.shared import CONFIG_ERROR
from tests.support.image import ROOT
from tests.support.requirements import beside_python, require

UNIT = ROOT / "deploy" / "systemd" / "bullmq-exporter.service"
EXPOSURE = 2.0
"""Maximum exposure of ten; systemd calls a lower one OK."""


def setting(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(found)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the path of the program in this environment."""
    program = shlex.split(setting("ExecStart"))[0]
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text().replace(program, beside_python("bullmq-exporter")))
    return file


def verify(unit: Path) -> str:
    """The problems that systemd reports in the unit."""
    done = subprocess.run(
        [require("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    # without messages about units that it depends on
    return "\n".join(line for line in done.stderr.splitlines() if UNIT.name in line)


def test_systemd_accepts_the_unit(unit: Path) -> None:
    assert verify(unit) == ""


def test_systemd_reports_an_unknown_key(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in verify(unit)


def test_the_unit_is_hardened() -> None:
    limit = f"--threshold={EXPOSURE * 10:.0f}"
    done = subprocess.run(
        [require("systemd-analyze"), "security", "--offline=true", limit, str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) < EXPOSURE


def test_the_unit_starts_the_command_and_does_not_restart_after_config_errors() -> None:
    _, *arguments = shlex.split(setting("ExecStart"))
    done = subprocess.run(
        [beside_python("bullmq-exporter"), *arguments, "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert int(setting("RestartPreventExitStatus")) == CONFIG_ERROR
