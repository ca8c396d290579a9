"""The manifests follow Kubernetes' schemas, are hardened, and name only what exists."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gjson
import kubernetes_validate
import pytest
import yaml

from exporter import __version__
from exporter.config.loader import load as load_config
from exporter.config.models import Config
from exporter.metrics import CATALOGUE
from exporter.state.workers import WorkerCount
from exporter.web.background import Known
from exporter.web.endpoints import PATHS
from exporter.web.scale import ScaleQuery, scale
from tests.support import image
from tests.support.command import command
from tests.support.dist import ROOT
from tests.support.factories import moment, snapshot
from tests.support.helm import CHART
from tests.support.kubernetes import FOLDER, OWN_KINDS, WAYS, Resource, only, render, rendered
from tests.support.promql import selectors
from tests.support.yaml_text import parse

WORKLOADS = ("Deployment", "StatefulSet")
VERSIONS = ("1.28", kubernetes_validate.latest_version())
SECRET = "bullmq-exporter-redis"
FAMILIES = {family.name: set(family.labels) for family in CATALOGUE}


def pod(resources: list[Resource]) -> dict[str, Any]:
    spec: dict[str, Any] = only(resources, *WORKLOADS)["spec"]["template"]["spec"]
    return spec


def container(resources: list[Resource]) -> dict[str, Any]:
    (found,) = pod(resources)["containers"]
    assert isinstance(found, dict)
    return found


def environment(resources: list[Resource], pod_name: str) -> dict[str, str]:
    """The container's environment, without its Secret."""
    return {each["name"]: each.get("value", pod_name) for each in container(resources)["env"]}


def configuration(resources: list[Resource], folder: Path, pod_name: str, **secret: str) -> Config:
    """The configuration that the exporter loads from the ConfigMap and the environment."""
    env = environment(resources, pod_name) | secret
    mounted = Path(env.pop("BULLMQ_EXPORTER_CONFIG"))
    assert str(mounted.parent) in [m["mountPath"] for m in container(resources)["volumeMounts"]]
    file = folder / mounted.name
    file.write_text(only(resources, "ConfigMap")["data"][mounted.name])
    return load_config(file, env)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("way", WAYS)
def test_manifests_are_valid(way: str, version: str) -> None:
    for resource in rendered(way):
        if resource["kind"] not in OWN_KINDS:
            kubernetes_validate.validate(resource, version, strict=True)


def test_the_schema_rejects_an_unknown_key() -> None:
    wrong = {**rendered("base")[0], "automountServiceAccountTokens": False}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("way", WAYS)
class TestEveryManifest:
    def test_the_pod_is_hardened(self, way: str) -> None:
        spec, main = pod(rendered(way)), container(rendered(way))
        user = spec["securityContext"]
        assert user["runAsNonRoot"]
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        in_image = image.one(image.stages()[-1], "USER").value
        assert f"{user['runAsUser']}:{user['runAsGroup']}" == in_image
        assert main["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert main["resources"]["limits"]["memory"]

    def test_the_image_has_the_exporters_version(self, way: str) -> None:
        assert container(rendered(way))["image"].endswith(f"/bullmq-exporter:{__version__}")

    def test_names_and_selectors_match(self, way: str) -> None:
        resources = rendered(way)
        workload, service = only(resources, *WORKLOADS), only(resources, "Service")
        labels = workload["spec"]["template"]["metadata"]["labels"]
        policy = only(resources, "NetworkPolicy")["spec"]
        assert workload["spec"]["selector"]["matchLabels"] == labels
        assert service["spec"]["selector"] == labels
        assert policy["podSelector"]["matchLabels"] == labels
        assert (
            pod(resources)["serviceAccountName"]
            == only(resources, "ServiceAccount")["metadata"]["name"]
        )
        (volume,) = pod(resources)["volumes"]
        assert volume["configMap"]["name"] == only(resources, "ConfigMap")["metadata"]["name"]
        assert container(resources)["envFrom"] == [{"secretRef": {"name": SECRET}}]

    def test_ports_and_probes_match_the_exporter(self, way: str, tmp_path: Path) -> None:
        resources = rendered(way)
        main = container(resources)
        config = configuration(resources, tmp_path, "bullmq-exporter-0")
        assert [(p["name"], p["containerPort"]) for p in main["ports"]] == [
            ("http", int(config.listen.rpartition(":")[2]))
        ]
        known = PATHS
        for probe in (main["livenessProbe"], main["readinessProbe"]):
            assert probe["httpGet"]["path"] in known
            assert probe["httpGet"]["port"] == "http"
        (port,) = only(resources, "Service")["spec"]["ports"]
        assert (port["name"], port["targetPort"]) == ("http", "http")
        (ingress,) = only(resources, "NetworkPolicy")["spec"]["ingress"]
        assert [each["port"] for each in ingress["ports"]] == ["http"]

    def test_the_exporter_accepts_its_configuration(self, way: str, tmp_path: Path) -> None:
        urls = {"REDIS_URL_API": "redis://api:6379/0", "REDIS_URL_WORKER": "redis://worker:6379/0"}
        config = configuration(rendered(way), tmp_path, "bullmq-exporter-0", **urls)
        assert set(config.connections) == {"api", "worker"}


def test_resources_agree_with_the_measured_memory() -> None:
    """An exporter of a thousand queues fits in the request, the largest in the limit."""
    operations = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| ([\d,]+)(?:, all \w+)? \|.*\| (\d+) MB \|$", operations, re.M)
    measured = [(int(queues.replace(",", "")), int(memory)) for queues, memory in rows]
    assert len(measured) > 3
    resources = container(rendered("base"))["resources"]
    request, limit = (
        int(resources[kind]["memory"].removesuffix("Mi")) for kind in ("requests", "limits")
    )
    assert request * 1.05 > max(memory for queues, memory in measured if queues <= 1000)
    assert limit > 2 * max(memory for _, memory in measured)
    unit = (ROOT / "deploy" / "systemd" / "bullmq-exporter.service").read_text()
    assert f"\nMemoryMax={limit}M\n" in unit
    largest = f"need about {max(memory for _, memory in measured)} MB"
    assert largest in (FOLDER / "base" / "deployment.yaml").read_text()
    assert largest in unit
    assert largest in (CHART / "values.yaml").read_text()


def test_every_pod_reads_its_own_shard(tmp_path: Path) -> None:
    resources = rendered("overlays/sharded")
    replicas = only(resources, "StatefulSet")["spec"]["replicas"]
    shards = [
        str(configuration(resources, tmp_path, f"bullmq-exporter-{ordinal}").queues.shard)
        for ordinal in range(replicas)
    ]
    assert shards == [f"{part}/{replicas}" for part in range(1, replicas + 1)]
    service = only(resources, "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert only(resources, "StatefulSet")["spec"]["serviceName"] == service["metadata"]["name"]


def test_the_pod_monitor_matches_the_service() -> None:
    resources = rendered("overlays/prometheus-operator")
    monitor, service = only(resources, "ServiceMonitor")["spec"], only(resources, "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["jobLabel"] in service["metadata"]["labels"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["path"] in PATHS


def test_the_prometheusrule_is_up_to_date() -> None:
    committed = FOLDER / "components" / "prometheus-operator" / "prometheusrule.yaml"
    made = command("rules", "--format", "prometheusrule").stdout
    assert committed.read_text() == made, "run make docs"


@pytest.mark.parametrize("way", ["base", "overlays/sharded"])
def test_the_password_can_come_from_a_file(way: str, tmp_path: Path) -> None:
    folder = Path(os.path.relpath(FOLDER, tmp_path))
    of_a_user = {
        "resources": [str(folder / way)],
        "components": [str(folder / "components" / "password-file")],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(of_a_user))
    resources = render(tmp_path)
    main = container(resources)
    assert "envFrom" not in main
    (mount,) = [m for m in main["volumeMounts"] if m["name"] == "passwords"]
    (volume,) = [v for v in pod(resources)["volumes"] if v["name"] == "passwords"]
    assert volume["projected"]["defaultMode"] == 0o440
    (source,) = volume["projected"]["sources"]
    (item,) = source["secret"]["items"]
    assert source["secret"]["name"] == SECRET
    kubernetes_validate.validate(only(resources, *WORKLOADS), VERSIONS[0], strict=True)
    config = parse(only(resources, "ConfigMap")["data"]["config.yaml"])
    named = config["connections"]["default"]
    assert named["password_file"] == f"{mount['mountPath']}/{item['path']}"
    assert "@" not in named["url"]


def test_scaling_without_prometheus_asks_the_exporter() -> None:
    """The URL is one that `/scale` accepts, and the path leads to a number of its response.

    KEDA reads the path as GJSON, and takes whatever is no number, like null, as an error.
    """
    resources = rendered("overlays/keda-metrics-api")
    (trigger,) = only(resources, "ScaledObject")["spec"]["triggers"]
    url = urlsplit(trigger["metadata"]["url"])
    service = only(resources, "Service")
    assert url.hostname == f"{service['metadata']['name']}.default.svc"
    assert url.port == service["spec"]["ports"][0]["port"]
    assert url.path in PATHS
    query = ScaleQuery.of(dict(parse_qsl(url.query)))
    assert query.drain_seconds == 600
    assert query.queue.name == "mail"
    path = trigger["metadata"]["valueLocation"]
    paused = {"waiting": 9, "active": 0, "paused": 1}
    for row, workers in ((paused, 3), ({}, None)):
        counts = {("bull", "mail"): WorkerCount(3, 3)} if workers else {}
        known = Known(moment(snapshot("default", {("bull", "mail"): row}, workers=counts)))
        content, status = scale(known, query)
        assert status == 200
        assert gjson.get(json.loads(json.dumps(content)), path) == workers
    with pytest.raises(gjson.GJSONError):
        gjson.get(scale(Known(moment()), query)[0], path)


def test_scaling_queries_name_existing_metrics_and_labels() -> None:
    triggers = only(rendered("overlays/keda"), "ScaledObject")["spec"]["triggers"]
    asked = [selectors(trigger["metadata"]["query"]) for trigger in triggers]
    assert [name for ((name, _),) in asked] == [
        "bullmq_queue_size",
        "bullmq_queue_oldest_waiting_seconds",
    ]
    for ((name, matchers),) in asked:
        assert set(matchers) <= FAMILIES[name]
