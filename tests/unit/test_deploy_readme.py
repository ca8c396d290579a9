"""Everything that deploy/README.md names exists."""

from __future__ import annotations

import re

from exporter.config.loader import load
from tests.support.image import ROOT
from tests.support.kubernetes import FOLDER, WAYS, only, rendered

TEXT = (ROOT / "deploy" / "README.md").read_text()


def test_paths_exist() -> None:
    found = re.findall(r"(?<![\w/.])/?((?:deploy|\.github)/[\w./-]*\w)", TEXT)
    assert len(found) > 5
    assert [path for path in found if not (ROOT / path).exists()] == []


def test_every_overlay_and_component_is_described() -> None:
    components = {f"components/{path.name}" for path in (FOLDER / "components").iterdir()}
    described = set(re.findall(r"`((?:overlays|components)/[\w-]+|base)`", TEXT))
    assert described == {*WAYS, *components}


def test_the_created_secret_is_the_one_that_the_pod_uses() -> None:
    (name,) = re.findall(r"create secret generic (\S+)", TEXT)
    (container,) = only(rendered("base"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": name}}]


def test_redis_urls_are_valid() -> None:
    for url in re.findall(r"REDIS_URL=(redis://[^\s']+)", TEXT):
        assert load(None, {"REDIS_URL": url}).connections["default"].url.port == 6379
