"""The resources of operators, by types and validators that are made from the operators' code.

TypeScript finds fields that there are not, the validators what a field may not hold. What KEDA
reads out of a trigger's metadata is in neither; those names are KEDA's documentation's.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.kubernetes import OWN_KINDS, WAYS, Resource, rendered
from tests.support.requirements import node_modules
from tests.support.typescript import compiler_says

MODULES = {
    "PrometheusRule": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "ServiceMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
PROMETHEUS_METADATA = {
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "ignoreNullValues",
    "namespace",
    "authModes",
    "unsafeSsl",
}


def program(resource: Resource) -> str:
    """Well typed if the resource has only fields that there are."""
    kind = resource["kind"]
    return (
        f"import type {{ I{kind} }} from '{MODULES[kind]}';\n"
        f"export const it: I{kind} = {json.dumps(resource)};\n"
    )


def validators_say(folder: Path, resource: Resource) -> str:
    """What the validator made of the operator's schema finds."""
    kind = resource["kind"]
    (folder / "node_modules").symlink_to(node_modules())
    (folder / "validate.mjs").write_text(
        f"import {{ {kind} }} from '{MODULES[kind]}';\n"
        f"new {kind}({json.dumps(resource)}).validate();\n"
    )
    done = subprocess.run(
        ["node", "validate.mjs"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stderr


def found() -> dict[str, Resource]:
    return {
        resource["kind"]: resource
        for way in WAYS
        for resource in rendered(way)
        if resource["kind"] in OWN_KINDS
    }


def test_they_have_only_fields_that_there_are(tmp_path: Path) -> None:
    assert set(found()) == set(OWN_KINDS)
    assert compiler_says(tmp_path, {name: program(each) for name, each in found().items()}) == ""


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_their_fields_hold_what_they_may(kind: str, tmp_path: Path) -> None:
    assert validators_say(tmp_path, found()[kind]) == ""


def test_scaling_has_only_metadata_that_keda_reads() -> None:
    for trigger in found()["ScaledObject"]["spec"]["triggers"]:
        assert trigger["type"] == "prometheus"
        assert set(trigger["metadata"]) <= PROMETHEUS_METADATA
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


def wrong(kind: str, *path: Any, value: Any) -> Resource:
    """The resource with another value at that place."""
    made: Resource = json.loads(json.dumps(found()[kind]))
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


def test_the_checks_find_what_is_wrong(tmp_path: Path) -> None:
    fields = {
        "monitor": wrong("ServiceMonitor", "spec", "endpoints", 0, "intervals", value="15s"),
        "rule": wrong("PrometheusRule", "spec", "groups", 0, "rules", 0, "alerts", value="x"),
        "scaled": wrong("ScaledObject", "spec", "minReplicas", value=1),
    }
    said = compiler_says(tmp_path, {name: program(each) for name, each in fields.items()})
    assert all(f"{name}.ts" in said for name in fields)


def test_the_validators_find_what_is_wrong(tmp_path: Path) -> None:
    interval = wrong("ServiceMonitor", "spec", "endpoints", 0, "interval", value="15 s")
    assert "interval" in validators_say(tmp_path, interval)
