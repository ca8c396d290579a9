"""The resources of operators, checked by types and validators made from the operators' CRDs.

TypeScript finds unknown fields, the validators find invalid values. The metadata of KEDA's triggers
is a map of strings in the CRD. Its names come from the schema that KEDA publishes of its scalers,
version 1 (`schema/generated/scalers-schema.json` in kedacore/keda), which no package has.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.support.helm import Values, chart
from tests.support.kubernetes import OWN_KINDS, WAYS, Resource, rendered
from tests.support.requirements import node_modules
from tests.support.typescript import compiler_errors

MODULES = {
    "PrometheusRule": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "ServiceMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
METADATA = {
    "prometheus": {
        "serverAddress",
        "query",
        "queryParameters",
        "threshold",
        "activationThreshold",
        "namespace",
        "customHeaders",
        "ignoreNullValues",
        "unsafeSsl",
        "timeout",
    },
    "metrics-api": {
        "url",
        "format",
        "valueLocation",
        "targetValue",
        "activationTargetValue",
        "unsafeSsl",
        "aggregateFromKubeServiceEndpoints",
        "aggregationType",
        "timeout",
    },
}
REQUIRED = {
    "prometheus": {"serverAddress", "query", "threshold"},
    # the schema leaves out the target where the trigger only activates
    "metrics-api": {"url", "valueLocation", "targetValue"},
}

OF_THE_CHART: Values = {
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "endpoint": {
            "scheme": "https",
            "tlsConfig": {"ca": {"secret": {"name": "tls", "key": "ca.crt"}}, "serverName": "a.b"},
            "basicAuth": {
                "username": {"name": "web", "key": "user"},
                "password": {"name": "web", "key": "password"},
            },
            "metricRelabelings": [{"action": "labeldrop", "regex": "pod"}],
        },
    },
    "prometheusRule": {
        "enabled": True,
        "set": {"NoWorkers": {"for": "0s", "severity": "critical"}},
        "alertLabels": {"team": "jobs"},
        "keepLabels": ["instance"],
        "statusUrl": "https://bullmq.example",
    },
    "scaledObjects": {
        "by-prometheus": {
            "deployment": "mail-worker",
            "namespace": "mail",
            "queue": "mail",
            "source": "prometheus",
            "prometheusUrl": "https://prometheus.example",
            "authenticationRef": {"name": "prometheus", "kind": "ClusterTriggerAuthentication"},
            "jobsPerPod": 1000000,
            "minReplicas": 0,
            "cooldownPeriod": 0,
        },
        "by-exporter": {
            "deployment": "etl-worker",
            "queue": "a&b",
            "source": "exporter",
            "workersPerPod": 3,
            "maxReplicas": 100,
            "pollingInterval": 5,
            "authenticationRef": {"name": "exporter"},
        },
    },
}
"""Everything that the chart can set in resources of operators."""
NAMES = (
    *OWN_KINDS,
    "ScaledObject-keda-metrics-api",
    *(f"chart-{name}" for name in ("PrometheusRule", "ServiceMonitor")),
    *(f"chart-ScaledObject-by-{source}" for source in ("exporter", "prometheus")),
)

VALIDATE = """
import { text } from 'node:stream/consumers';
const errors = {};
for (const [module, name, resource] of JSON.parse(await text(process.stdin))) {
  const { [resource.kind]: Kind } = await import(module);
  try {
    new Kind(resource).validate();
    errors[name] = '';
  } catch (error) {
    errors[name] = String(error);
  }
}
console.log(JSON.stringify(errors));
"""


def program(resource: Resource) -> str:
    """A program that type-checks if the resource has only known fields."""
    kind = resource["kind"]
    return (
        f"import type {{ I{kind} }} from '{MODULES[kind]}';\n"
        f"export const it: I{kind} = {json.dumps(resource)};\n"
    )


def found() -> dict[str, Resource]:
    """The operators' resources by kind; further ones with the overlay's name, or of the chart."""
    every: dict[str, Resource] = {}
    for way in WAYS:
        for resource in rendered(way):
            kind = resource["kind"]
            if kind in OWN_KINDS and resource not in every.values():
                every[kind if kind not in every else f"{kind}-{way.rpartition('/')[2]}"] = resource
    for resource in chart(OF_THE_CHART):
        kind, name = resource["kind"], resource["metadata"]["name"]
        if kind == "ScaledObject":
            every[f"chart-{kind}-{name}"] = resource
        elif kind in OWN_KINDS:
            every[f"chart-{kind}"] = resource
    return every


def wrong(kind: str, *path: Any, value: Any) -> Resource:
    """The resource with another value at that path."""
    made: Resource = json.loads(json.dumps(found()[kind]))
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The compiler's errors by program: the resources, and three with unknown fields."""
    resources = found() | {
        "monitor": wrong("ServiceMonitor", "spec", "endpoints", 0, "intervals", value="15s"),
        "rule": wrong("PrometheusRule", "spec", "groups", 0, "rules", 0, "alerts", value="x"),
        "scaled": wrong("ScaledObject", "spec", "minReplicas", value=1),
    }
    programs = {name: program(each) for name, each in resources.items()}
    return compiler_errors(tmp_path_factory.mktemp("types"), programs)


@pytest.fixture(scope="module")
def validators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The validators' errors by program: the resources, and one with an invalid value."""
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
    errors: dict[str, str] = json.loads(done.stdout)
    return errors


def test_resources_have_only_known_fields(compiler: dict[str, str]) -> None:
    assert set(found()) == set(NAMES)
    assert not compiler.keys() & found().keys(), compiler


def test_the_compiler_finds_unknown_fields(compiler: dict[str, str]) -> None:
    assert compiler.keys() >= {"monitor", "rule", "scaled"}


@pytest.mark.parametrize("name", NAMES)
def test_resources_have_valid_values(name: str, validators: dict[str, str]) -> None:
    assert validators[name] == ""


def test_the_validators_find_an_invalid_value(validators: dict[str, str]) -> None:
    assert "interval" in validators["interval"]


def test_keda_triggers_have_only_known_metadata() -> None:
    scaled = [each for name, each in found().items() if "ScaledObject" in name]
    triggers = [trigger for each in scaled for trigger in each["spec"]["triggers"]]
    assert {trigger["type"] for trigger in triggers} == set(METADATA)
    for trigger in triggers:
        assert REQUIRED[trigger["type"]] <= set(trigger["metadata"]) <= METADATA[trigger["type"]]
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
