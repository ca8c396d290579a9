"""Wheel and source distribution: contents, and the wheel installed in a clean environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter import __version__
from tests.support.daemon import environment, started
from tests.support.dist import ROOT, install, python, run
from tests.support.pages import value
from tests.support.requirements import beside_python
from tests.support.servers import Server, free_port

NAME = f"bullmq_exporter-{__version__}"


def files_of_source(dist: Path) -> set[str]:
    with tarfile.open(dist / f"{NAME}.tar.gz") as source:
        return {member.name.removeprefix(f"{NAME}/") for member in source if member.isfile()}


def test_twine_accepts_both(dist: Path) -> None:
    files = sorted(map(str, dist.glob("bullmq_exporter*")))
    assert [Path(file).name for file in files] == [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"]
    assert run([sys.executable, "-m", "twine", "check", "--strict", *files]).count("PASSED") == 2


def test_the_source_distribution_has_everything_for_image_and_wheel(dist: Path) -> None:
    inside = files_of_source(dist)
    assert {"pyproject.toml", ".dockerignore", "deploy/Dockerfile", "config.yaml"} <= inside
    assert {name.partition("/")[0] for name in inside} == {
        *("exporter", "grafana", "prometheus", "deploy", "docs"),
        *("pyproject.toml", "PKG-INFO", "README.md", "LICENSE", "CHANGELOG.md", "config.yaml"),
        *(".dockerignore", ".gitignore"),
    }


def test_the_wheel_has_exactly_the_package(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as wheel:
        inside = {name for name in wheel.namelist() if name.startswith("exporter/")}
    assert inside == {name for name in files_of_source(dist) if name.startswith("exporter/")}
    tracked = subprocess.run(
        ["git", "ls-files", "exporter"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert tracked.returncode != 0 or set(tracked.stdout.split()) <= inside


def test_the_wheel_is_the_same_bytes_when_built_elsewhere(dist: Path, tmp_path: Path) -> None:
    """A release can be built again and compared, in any folder and with any times of files."""
    with tarfile.open(dist / f"{NAME}.tar.gz") as source:
        source.extractall(tmp_path, filter="data")
    for file in (tmp_path / NAME).rglob("*"):
        os.utime(file, (1e9, 1e9))
    words = ["hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run([sys.executable, "-m", *words], cwd=tmp_path / NAME, check=True)
    wheel = f"{NAME}-py3-none-any.whl"
    assert (tmp_path / wheel).read_bytes() == (dist / wheel).read_bytes()


class TestInstallPaths:
    """Other ways to install, as the documentation names them."""

    def test_uvx_runs_a_checkout(self, tmp_path: Path) -> None:
        words = [beside_python("uvx"), "--quiet", "--python", python(), "--from", str(ROOT)]
        done = subprocess.run(
            [*words, "bullmq-exporter", "--version"],
            env=os.environ | {"UV_TOOL_DIR": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"bullmq-exporter, version {__version__}" in done.stdout

    def test_pipx_installs_the_wheel(self, dist: Path, tmp_path: Path) -> None:
        pipx = [beside_python("pipx"), "install", "--backend", "uv", "--python", python()]
        done = subprocess.run(
            [*pipx, str(dist / f"{NAME}-py3-none-any.whl")],
            env=os.environ
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PIPX_HOME": str(tmp_path / "home"),
                "PIPX_BIN_DIR": str(tmp_path / "bin"),
                "PIPX_MAN_DIR": str(tmp_path / "man"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert __version__ in run([str(tmp_path / "bin" / "bullmq-exporter"), "--version"])


@dataclass(frozen=True)
class Installed:
    """An environment with only the wheel and its dependencies."""

    folder: Path

    @property
    def program(self) -> str:
        return str(self.folder / "bin" / "bullmq-exporter")

    def run(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words],
            env=environment(extra),
            # outside the repository, whose package would be found first
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("clean") / "environment"
    install(folder, str(dist / f"{NAME}-py3-none-any.whl"))
    return Installed(folder)


def test_the_program_prints_its_version_and_checks_configurations(installed: Installed) -> None:
    assert __version__ in installed.run("--version").stdout
    checked = installed.run("config", "--check", REDIS_URL="redis://localhost:6379/0")
    assert (checked.returncode, checked.stdout) == (0, "the environment is valid\n")
    assert installed.run("config", "--check", REDIS_URL="redis://h/x").returncode == 2


def test_the_wheel_contains_dashboards_and_rules(installed: Installed) -> None:
    share = installed.folder / "share" / "bullmq-exporter"
    for file in ("grafana/dashboards/bullmq-queue.json", "prometheus/bullmq.rules.yml"):
        assert (share / file).read_text() == (ROOT / file).read_text()
    assert installed.run("rules").stdout == (ROOT / "prometheus" / "bullmq.rules.yml").read_text()


def test_the_demo_names_its_missing_extra(installed: Installed) -> None:
    done = installed.run("demo")
    assert done.returncode == 1
    assert "pip install 'bullmq-exporter[demo]'" in done.stderr


def test_the_installed_exporter_runs(installed: Installed, server: Server, tmp_path: Path) -> None:
    """Pages are gzipped even without the extra `fast`."""
    port = free_port()
    words = [installed.program, "run", "--listen", f"127.0.0.1:{port}"]
    env = environment({"REDIS_URL": server.url})
    with started(words, port, tmp_path, env) as running:
        assert value(running.samples(), "bullmq_up", connection="default") == 1
        page = running.get("/metrics", accept_encoding="gzip")
        assert page.headers["Content-Encoding"] == "gzip"
        # template, style and script are files of the package
        assert running.get("/").status == 200
        assert running.stop() == 0
    assert installed.run("run", "--once", REDIS_URL=server.url).returncode == 0
