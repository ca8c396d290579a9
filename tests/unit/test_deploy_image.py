"""The Dockerfile: linted, small, and without root."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.image import FILE, ROOT, admitted, one, stages
from tests.support.requirements import beside_python


def lint(file: Path) -> str:
    done = subprocess.run(
        [beside_python("hadolint"), "--no-color", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (not done.stdout), done.stderr
    return done.stdout


def test_the_linter_reports_nothing() -> None:
    assert lint(FILE) == ""


def test_the_linter_reports_an_unpinned_base(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text(FILE.read_text().replace(":${PYTHON}-slim", ""))
    assert "DL3006" in lint(bad)


def test_the_final_stage_installs_nothing_and_runs_as_a_numeric_user() -> None:
    build, final = stages()
    assert [step.value.split()[-1] for step in build if step.name == "FROM"] == ["build"]
    assert "RUN" not in [step.name for step in final]
    assert [step.value for step in final if step.name == "COPY"] == [
        "--from=build /opt/bullmq-exporter /opt/bullmq-exporter"
    ]
    user, group = map(int, one(final, "USER").value.split(":"))
    assert min(user, group) > 10_000
    assert [step.name for step in final][-2:] == ["ENTRYPOINT", "CMD"]


def test_the_image_has_a_health_check_and_exposes_its_port() -> None:
    _, final = stages()
    assert "/-/healthy" in one(final, "HEALTHCHECK").command[-1]
    assert one(final, "EXPOSE").value == "9538"


def test_the_base_image_has_a_supported_python() -> None:
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    chosen = FILE.read_text().partition("ARG PYTHON=")[2].split()[0]
    assert tuple(map(int, chosen.split("."))) >= tuple(map(int, oldest[2:].split(".")))


@pytest.mark.parametrize("name", admitted())
def test_the_build_context_has_only_copied_files(name: str) -> None:
    build, _ = stages()
    assert (ROOT / name).exists()
    assert name in {word for step in build if step.name == "COPY" for word in step.words}
