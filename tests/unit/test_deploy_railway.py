"""railway.json has only documented keys; no package contains its schema."""

from __future__ import annotations

import json
from fnmatch import fnmatch

from exporter.web.endpoints import PATHS
from tests.support import image
from tests.support.image import ROOT

FILE = ROOT / "deploy" / "railway.json"
BUILD = {"builder", "watchPatterns", "buildCommand", "dockerfilePath", "railpackVersion"}
DEPLOY = {
    "startCommand",
    "preDeployCommand",
    "multiRegionConfig",
    "healthcheckPath",
    "healthcheckTimeout",
    "restartPolicyType",
    "restartPolicyMaxRetries",
    "cronSchedule",
    "overlapSeconds",
    "drainingSeconds",
}


def test_keys_are_documented() -> None:
    content = json.loads(FILE.read_text())
    assert set(content) == {"$schema", "build", "deploy"}
    assert set(content["build"]) <= BUILD
    assert set(content["deploy"]) <= DEPLOY
    assert content["build"]["builder"] in {"RAILPACK", "DOCKERFILE"}
    assert content["deploy"]["restartPolicyType"] in {"ON_FAILURE", "ALWAYS", "NEVER"}


def test_named_files_and_paths_exist() -> None:
    content = json.loads(FILE.read_text())
    assert ROOT / content["build"]["dockerfilePath"] == image.FILE
    assert content["deploy"]["healthcheckPath"] in PATHS


def test_every_source_of_the_image_is_watched() -> None:
    patterns = json.loads(FILE.read_text())["build"]["watchPatterns"]
    for name in image.admitted():
        path = f"{name}/x" if (ROOT / name).is_dir() else name
        watched = any(fnmatch(path, pattern) for pattern in patterns)
        assert watched or name in {"README.md", "LICENSE"}, name
