"""The Dockerfile: linted, small, and without root."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.image import FILE, ROOT, admitted, one, stages
from tests.support.requirements import beside_python

REQUIREMENTS = ROOT / "deploy" / "requirements"


def bases() -> list[str]:
    """The base image of each stage."""
    return [one(stage, "FROM").value.split()[0] for stage in stages()]


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
    bad.write_text(re.sub(r"python:\S+", "python", FILE.read_text()))
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
    chosen = bases()[0].partition(":")[2].partition("-")[0]
    assert tuple(map(int, chosen.split("."))) >= tuple(map(int, oldest[2:].split(".")))


def test_both_stages_have_one_base_image_by_digest() -> None:
    (base,) = set(bases())
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", base)


def pins(name: str) -> dict[str, str]:
    """Package → version in a file of pins, each of which has a hash."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().replace("\\\n", " ").splitlines()
    found = {}
    for line in lines:
        if not line.startswith("#"):
            assert "--hash=sha256:" in line
            requirement = Requirement(line.partition(" --hash")[0])
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            found[canonicalize_name(requirement.name)] = pin.version
    return found


@pytest.mark.parametrize(("name", "extras"), [("image", ["fast"]), ("demo", ["fast", "demo"])])
def test_pins_are_what_the_project_requires(name: str, extras: list[str]) -> None:
    """What these packages require is missed when the image is built: pip insists on hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [Requirement(each) for each in project["dependencies"]]
    for extra in extras:
        required += [Requirement(each) for each in project["optional-dependencies"][extra]]
    pinned = pins(name)
    for each in required:
        version = pinned[canonicalize_name(each.name)]
        assert each.specifier.contains(version), f"{each}: {version}; run make lock"


def test_the_pinned_backend_is_the_projects() -> None:
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for name in ("build", "release"):
        for each in map(Requirement, requires):
            assert each.specifier.contains(pins(name)[canonicalize_name(each.name)])
    assert pins("image").items() <= pins("demo").items()


@pytest.mark.parametrize("name", admitted())
def test_the_build_context_has_only_copied_files(name: str) -> None:
    build, _ = stages()
    assert (ROOT / name).exists()
    assert name in {word for step in build if step.name == "COPY" for word in step.words}
