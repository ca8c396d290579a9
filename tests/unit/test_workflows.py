"""GitHub workflows, Dependabot and templates: valid, secure, and naming only what exists."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from exporter.cli import main
from exporter.metrics import CATALOGUE
from tests.support import compose, image
from tests.support.commands import exporter_commands
from tests.support.image import ROOT
from tests.support.requirements import beside_python
from tests.support.schemas import violations

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
DEPENDABOT = ROOT / ".github" / "dependabot.yml"
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"
FORMS = [file for file in sorted(TEMPLATES.glob("*.yml")) if file.name != "config.yml"]
# the file that Dependabot needs in a folder
READ_BY = {
    "pip": "pyproject.toml",
    "npm": "package.json",
    "github-actions": ".github/workflows",
    "docker": "Dockerfile",
    "docker-compose": "compose.yaml",
}
# write permissions, by job
WRITERS = {
    *((job, "id-token") for job in ("build", "pypi", "image", "chart")),
    *((job, "attestations") for job in ("build", "image")),
    *((job, "packages") for job in ("image", "chart")),
}


def load(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded


def audit(folder: Path) -> subprocess.CompletedProcess[str]:
    options = ("--offline", "--no-progress", "--min-severity=medium")
    words = [beside_python("zizmor"), *options, str(folder)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def steps(job: str) -> list[dict[str, Any]]:
    found = [load(file)["jobs"].get(job) for file in FILES]
    (one,) = [each for each in found if each and "steps" in each]
    return list(one["steps"])


def script(job: str, name: str) -> str:
    (found,) = [step["run"] for step in steps(job) if step.get("name") == name]
    return str(found)


def test_workflows_follow_the_schema() -> None:
    assert violations("github-workflows", *FILES) == ""


def test_the_schema_rejects_an_unknown_key(tmp_path: Path) -> None:
    bad = tmp_path / "test.yml"
    bad.write_text(FILES[-1].read_text().replace("runs-on", "runs-in"))
    assert "runs-in" in violations("github-workflows", bad)


def test_zizmor_reports_nothing() -> None:
    done = audit(ROOT / ".github")
    assert done.returncode == 0, done.stdout


def test_zizmor_reports_an_injection(tmp_path: Path) -> None:
    injected = (
        (FOLDER / "release.yml").read_text().replace('"$GITHUB_REF_NAME"', "${{ github.head_ref }}")
    )
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "release.yml").write_text(injected)
    assert "template-injection" in audit(folder).stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_jobs_have_minimal_permissions(file: Path) -> None:
    content = load(file)
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        granted = {(name, what) for what, how in job["permissions"].items() if how == "write"}
        assert granted <= WRITERS
        assert set(job["permissions"].values()) <= {"read", "write"}
        assert "timeout-minutes" in job or "uses" in job


def test_actions_are_pinned_by_commit() -> None:
    """Each by the same commit everywhere, with the version as a comment, which Dependabot keeps."""
    pins: dict[str, set[str]] = {}
    for file in FILES:
        for line in re.findall(r"uses: (.+)", file.read_text()):
            if (ROOT / line).exists():
                continue
            pinned = re.fullmatch(r"([\w/-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line)
            assert pinned is not None, line
            pins.setdefault(pinned[1], set()).add(pinned[2])
    assert pins
    assert [action for action, commits in pins.items() if len(commits) > 1] == []


def test_no_rule_of_zizmor_is_turned_off() -> None:
    assert list((ROOT / ".github").rglob("zizmor.y*")) == []
    assert not any("zizmor: ignore" in file.read_text() for file in FILES)


def test_every_supported_python_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = load(FOLDER / "test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert f">={tested[0]}" == project["requires-python"]
    versions = [tuple(map(int, version.split("."))) for version in tested]
    assert versions == [(3, minor) for minor in range(versions[0][1], versions[-1][1] + 1)]
    assert (ROOT / ".ci" / "run").exists()


def test_only_a_tag_that_equals_the_version_is_released() -> None:
    condition = script("build", "Check that the tag is the version")

    def released(tag: str) -> bool:
        path = f"{Path(beside_python('python')).parent}:{os.environ['PATH']}"
        env = os.environ | {"GITHUB_REF_NAME": tag, "PATH": path}
        return (
            subprocess.run(["bash", "-ec", condition], env=env, cwd=ROOT, check=False).returncode
            == 0
        )

    assert released(f"v{__version__}")
    assert not released("v99.0.0")


def test_the_compose_job_names_existing_metrics_and_ports() -> None:
    start = script("compose", "Start all services and wait until they are healthy")
    assert f"-f {compose.FILE.relative_to(ROOT)} " in start
    asked = script("compose", "Check that Prometheus has samples and Grafana has the dashboards")
    assert set(re.findall(r"bullmq_\w+", asked)) <= {family.name for family in CATALOGUE}
    dashboards = list((ROOT / "grafana" / "dashboards").glob("*.json"))
    assert f"-eq {len(dashboards)}" in asked
    published = {p for s in compose.SERVICES.values() for p in s.get("ports", [])}
    for port in re.findall(r"localhost:(\d+)", asked):
        assert f"127.0.0.1:{port}:{port}" in published


def test_the_image_job_builds_the_dockerfile() -> None:
    (build,) = [s["with"] for s in steps("image") if "build-push-action" in s.get("uses", "")]
    assert ROOT / build["context"] / build["file"] == image.FILE


def test_images_are_released_for_three_platforms_with_sbom_and_provenance() -> None:
    (build,) = [s["with"] for s in steps("image") if "build-push-action" in s.get("uses", "")]
    assert build["platforms"] == "linux/amd64,linux/arm64,linux/arm/v7"
    assert (build["provenance"], build["sbom"]) == ("mode=max", True)
    # what is signed is what was pushed, not what a tag points to
    for job in ("image", "chart"):
        (signed,) = [s["run"] for s in steps(job) if "cosign sign" in s.get("run", "")]
        assert re.search(r"cosign sign .*@\$(DIGEST|digest)\b", signed)


def test_the_chart_job_signs_the_digest_that_helm_prints(tmp_path: Path) -> None:
    """With programs that print what Helm and cosign do."""
    (tmp_path / "helm").write_text(
        """#!/bin/sh
        if [ "$1" = push ]; then
          echo "Pushed: ghcr.io/acme/charts/bullmq-exporter:0.1.0" >&2
          echo "Digest: sha256:$(printf %064d 7)" >&2
        else touch bullmq-exporter-0.1.0.tgz; fi"""
    )
    (tmp_path / "cosign").write_text('#!/bin/sh\necho "$@" > signed')
    for program in ("helm", "cosign"):
        (tmp_path / program).chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "OWNER": "Acme"}
    run = script("chart", "Publish the chart and sign it")
    subprocess.run(["bash", "-eo", "pipefail", "-c", run], cwd=tmp_path, env=env, check=True)
    signed = (tmp_path / "signed").read_text().split()
    assert signed[-1] == f"ghcr.io/acme/charts/bullmq-exporter@sha256:{7:064d}"


def test_dependabot_follows_the_schema(tmp_path: Path) -> None:
    assert violations("dependabot", DEPENDABOT) == ""
    bad = tmp_path / "dependabot.yml"
    bad.write_text(DEPENDABOT.read_text().replace("weekly", "sometimes"))
    assert "sometimes" in violations("dependabot", bad)


def test_issue_forms_follow_the_schema(tmp_path: Path) -> None:
    assert {form.name for form in FORMS} == {"bug_report.yml", "feature_request.yml"}
    assert violations("github-issue-forms", *FORMS) == ""
    assert violations("github-issue-config", TEMPLATES / "config.yml") == ""
    bad = tmp_path / "bug_report.yml"
    bad.write_text(FORMS[0].read_text().replace("type: input", "type: line"))
    assert violations("github-issue-forms", bad) != ""


def test_commands_in_templates_exist() -> None:
    texts = [file.read_text() for file in (*FORMS, ROOT / ".github" / "pull_request_template.md")]
    commands = [command for text in texts for command in exporter_commands(text)]
    assert len(commands) == 2
    for name, *arguments in commands:
        main.commands[name].make_context(name, arguments)


def test_dependabot_folders_have_the_expected_files() -> None:
    updates = load(DEPENDABOT)["updates"]
    assert {update["package-ecosystem"] for update in updates} == set(READ_BY)
    for update in updates:
        folder = ROOT / update["directory"].lstrip("/")
        assert (folder / READ_BY[update["package-ecosystem"]]).exists(), update


def test_make_targets_exist() -> None:
    asked = [s["run"] for job in ("lowest", "audit") for s in steps(job) if "run" in s]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", "\n".join(asked))) == {"lowest", "audit"} <= targets


def test_the_audit_is_required_in_ci() -> None:
    assert "--required" in script("audit", "Audit the installed packages")


def test_the_lowest_versions_are_tested_on_the_oldest_python() -> None:
    container = load(FOLDER / "test.yml")["jobs"]["lowest"]["container"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert container == f"python:{project['requires-python'].removeprefix('>=')}-bookworm"
    assert all(">=" in dependency for dependency in project["dependencies"])
