"""The resources of operators, by types and validators that are made from the operators' code.

TypeScript finds fields that there are not, the validators what a field may not hold. What KEDA
reads out of a trigger's metadata is in neither; those names are KEDA's documentation's.
"""

from __future__ import annotations

import json
import subprocess
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


VALIDATE = """
import { text } from 'node:stream/consumers';
const said = {};
for (const [module, name, resource] of JSON.parse(await text(process.stdin))) {
  const { [resource.kind]: Kind } = await import(module);
  try {
    new Kind(resource).validate();
    said[name] = '';
  } catch (error) {
    said[name] = String(error);
  }
}
console.log(JSON.stringify(said));
"""


def program(resource: Resource) -> str:
    """Well typed if the resource has only fields that there are."""
    kind = resource["kind"]
    return (
        f"import type {{ I{kind} }} from '{MODULES[kind]}';\n"
        f"export const it: I{kind} = {json.dumps(resource)};\n"
    )


def found() -> dict[str, Resource]:
    return {
        resource["kind"]: resource
        for way in WAYS
        for resource in rendered(way)
        if resource["kind"] in OWN_KINDS
    }


def wrong(kind: str, *path: Any, value: Any) -> Resource:
    """The resource with another value at that place."""
    made: Resource = json.loads(json.dumps(found()[kind]))
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the compiler says of the resources, and of three with fields that there are not."""
    resources = found() | {
        "monitor": wrong("ServiceMonitor", "spec", "endpoints", 0, "intervals", value="15s"),
        "rule": wrong("PrometheusRule", "spec", "groups", 0, "rules", 0, "alerts", value="x"),
        "scaled": wrong("ScaledObject", "spec", "minReplicas", value=1),
    }
    programs = {name: program(each) for name, each in resources.items()}
    return compiler_says(tmp_path_factory.mktemp("types"), programs)


@pytest.fixture(scope="module")
def validators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What those made of the operators' schemas say of the resources, and of a wrong one."""
    interval = wrong("ServiceMonitor", "spec", "endpoints", 0, "interval", value="15 s")
    folder = tmp_path_factory.mktemp("validators")
    (folder / "node_modules").symlink_to(node_modules())
    (folder / "validate.mjs").write_text(VALIDATE)
    resources = [(MODULES[each["kind"]], name, each) for name, each in found().items()]
    resources.append((MODULES["ServiceMonitor"], "interval", interval))
    done = subprocess.run(
        ["node", "validate.mjs"],
        cwd=folder,
        input=json.dumps(resources),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


def test_they_have_only_fields_that_there_are(compiler: dict[str, str]) -> None:
    assert set(found()) == set(OWN_KINDS)
    assert not compiler.keys() & found().keys(), compiler


def test_the_compiler_finds_what_is_wrong(compiler: dict[str, str]) -> None:
    assert compiler.keys() >= {"monitor", "rule", "scaled"}


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_their_fields_hold_what_they_may(kind: str, validators: dict[str, str]) -> None:
    assert validators[kind] == ""


def test_the_validators_find_what_is_wrong(validators: dict[str, str]) -> None:
    assert "interval" in validators["interval"]


def test_scaling_has_only_metadata_that_keda_reads() -> None:
    for trigger in found()["ScaledObject"]["spec"]["triggers"]:
        assert trigger["type"] == "prometheus"
        assert set(trigger["metadata"]) <= PROMETHEUS_METADATA
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
