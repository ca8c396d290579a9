"""The Helm chart: what kustomize renders for the same choices, and values that are refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import kubernetes_validate
import pytest
import yaml

from docs.chart import files
from exporter import __version__
from exporter.config.loader import load
from exporter.rules import ALERTS
from exporter.web.scale import ScaleQuery
from tests.support.command import command
from tests.support.commands import ROOT, Block, all_blocks, blocks
from tests.support.helm import CHART, Values, chart, from_arguments, helm, refusal, templates
from tests.support.kubernetes import FOLDER, OWN_KINDS, Resource, only, render, rendered
from tests.support.promql import selectors
from tests.support.yaml_text import parse

LABELS_OF_HELM = {
    "helm.sh/chart",
    *(f"app.kubernetes.io/{name}" for name in ("instance", "version", "managed-by")),
}
COPIES = files()
VERSIONS = ("1.28", kubernetes_validate.latest_version())
SHARDED: Values = {"shards": 3}
OPERATOR: Values = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
FROM_PROMETHEUS = {
    "deployment": "mail-worker",
    "queue": "mail",
    "source": "prometheus",
    "prometheusUrl": "http://prometheus-operated.monitoring.svc:9090",
}
FROM_EXPORTER = {"deployment": "mail-worker", "queue": "mail", "source": "exporter"}
PASSWORD_FILE: Values = {
    "connections": {
        "default": {
            "url": "redis://redis:6379/0",
            "passwordSecret": {"name": "bullmq-exporter-redis", "key": "password"},
        }
    }
}
DASHBOARDS: Values = {"dashboards": {"enabled": True}}
SAME: dict[str, Values] = {
    "base": {},
    "overlays/keda": OPERATOR | {"scaledObjects": {"mail-worker": FROM_PROMETHEUS}},
    "overlays/keda-metrics-api": {"scaledObjects": {"mail-worker": FROM_EXPORTER}},
    "overlays/prometheus-operator": OPERATOR,
    "overlays/sharded": SHARDED,
    "components/grafana-dashboards": DASHBOARDS,
    "components/password-file": PASSWORD_FILE,
}
"""Kustomization → the values of the chart for the same choices."""
EVERYTHING: Values = {
    **OPERATOR,
    **DASHBOARDS,
    "connections": {
        "api": {"urlSecret": {"name": "api-redis", "key": "url"}},
        "etl-worker": {
            "urlSecret": {"name": "etl-redis", "key": "url"},
            "passwordSecret": {"name": "etl-redis", "key": "password"},
            "settings": {"cluster": True, "timeout_seconds": 5},
        },
        "mail": {"url": "redis://mail:6379/1", "settings": {"username": "monitor"}},
    },
    "config": {"sync": {"enabled": False}, "web": {"enable_lifecycle": "${LIFECYCLE}"}},
    "replicas": 2,
    "podDisruptionBudget": {"enabled": True},
    "image": {"digest": f"sha256:{'0' * 64}", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 7000, "protocol": "TCP"}]}]},
    "scaledObjects": {
        "mail": FROM_PROMETHEUS | {"authenticationRef": {"name": "prometheus"}, "minReplicas": 0},
        "etl": FROM_EXPORTER | {"queue": 'a&b "c"', "drainSeconds": 60, "namespace": "etl"},
    },
    "extraArgs": ["--listen", ":9538"],
    "extraEnv": [{"name": "LIFECYCLE", "value": "true"}],
    "extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
    "extraVolumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    "commonLabels": {"team": "jobs"},
    "podLabels": {"sidecar": "none"},
    "podAnnotations": {"note": "here"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "jobs", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
}
REFUSED: dict[str, tuple[Values, str]] = {
    "an unknown value": ({"replica": 2}, "additional properties 'replica' not allowed"),
    "a value of the wrong type": ({"replicas": "two"}, "at '/replicas': got string, want integer"),
    "an unknown setting": (
        {"config": {"queues": {"prefix": ["bull"]}}},
        "at '/config/queues': additional properties 'prefix' not allowed",
    ),
    "a setting out of range": (
        {"config": {"poll": {"interval_seconds": 0}}},
        "at '/config/poll/interval_seconds'",
    ),
    "a setting that the chart makes": (
        {"config": {"connections": {}}},
        "at '/config': additional properties 'connections' not allowed",
    ),
    "a connection without an address": ({"connections": {"api": {}}}, "missing property 'url"),
    "a connection with two addresses": (
        {"connections": {"api": {"url": "redis://h", "urlSecret": {"name": "a", "key": "b"}}}},
        "at '/connections/api'",
    ),
    "the name of a connection that is no variable": (
        {"connections": {"My_Redis": {"url": "redis://h"}}},
        "My_Redis",
    ),
    "an unknown alert": (
        {"prometheusRule": {"set": {"NoWorker": {"for": "5m"}}}},
        "additional properties 'NoWorker' not allowed",
    ),
    "an unknown setting of an alert": (
        {"prometheusRule": {"set": {"NoWorkers": {"above": 3}}}},
        "at '/prometheusRule/set/NoWorkers': additional properties 'above' not allowed",
    ),
    "no duration": ({"prometheusRule": {"set": {"NoWorkers": {"for": "5 min"}}}}, "/NoWorkers/for"),
    "an omitted alert that does not exist": (
        {"prometheusRule": {"without": ["NoWorker"]}},
        "at '/prometheusRule/without/0': value must be one of",
    ),
    "KEDA without an address of Prometheus": (
        {"scaledObjects": {"w": {"deployment": "w", "queue": "q", "source": "prometheus"}}},
        "missing property 'prometheusUrl'",
    ),
    "a setting of the other source": (
        {"scaledObjects": {"w": FROM_EXPORTER | {"jobsPerPod": 5}}},
        "at '/scaledObjects/w'",
    ),
    "KEDA asking one of several shards": (
        SHARDED | {"scaledObjects": {"w": FROM_EXPORTER}},
        "scaledObjects.w: each shard only knows its own queues",
    ),
    "replicas of shards": ({"shards": 2, "replicas": 2}, "replicas and shards are mutually"),
    "being scraped twice": (
        OPERATOR | {"scrapeAnnotations": True},
        "would have the exporter scraped twice",
    ),
    "no secret": ({"existingSecret": ""}, "set existingSecret, or connections"),
}


def kustomized(way: str, tmp_path: Path) -> list[Resource]:
    """What kustomize renders; a component is added to the base."""
    if not way.startswith("components/"):
        return rendered(way)
    folder = Path(os.path.relpath(FOLDER, tmp_path))
    added = {"resources": [str(folder / "base")], "components": [str(folder / way)]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(added))
    return render(tmp_path)


def comparable(resources: list[Resource]) -> dict[tuple[str, str], Resource]:
    """The resources by kind and name, without what only one of the tools adds.

    Helm has its own labels and an annotation with the hash of the configuration; kustomize has a
    hash in the name of the ConfigMap, and comments in the configuration.
    """
    text = re.sub(r"(bullmq-exporter-config)-\w{10}\b", r"\1", json.dumps(resources))
    found = [_without_labels(each) for each in json.loads(text)]
    for each in found:
        # kustomize's label is checked where it selects something
        each["metadata"].get("labels", {}).pop("app.kubernetes.io/name", None)
        each["metadata"] = {key: value for key, value in each["metadata"].items() if value}
        if "config.yaml" in each.get("data", {}):
            each["data"] = {"config.yaml": parse(each["data"]["config.yaml"])}
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def _without_labels(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_labels(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_labels(each) for key, each in value.items() if key not in LABELS_OF_HELM}
    if "checksum/config" in kept.get("annotations", {}):
        del kept["annotations"]["checksum/config"]
        if not kept["annotations"]:
            del kept["annotations"]
    return kept


def container(resources: list[Resource]) -> dict[str, Any]:
    spec = only(resources, "Deployment", "StatefulSet")["spec"]["template"]["spec"]
    (found,) = spec["containers"]
    return dict(found)


def rules(values: Values) -> list[dict[str, Any]]:
    """The rules that the chart renders with these values of prometheusRule."""
    made = chart({"prometheusRule": {"enabled": True, **values}})
    groups = only(made, "PrometheusRule")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def printed(*options: str) -> list[dict[str, Any]]:
    """The rules that `bullmq-exporter rules` prints."""
    groups = parse(command("rules", *options).stdout)["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("way", SAME)
def test_the_chart_renders_what_kustomize_renders(way: str, tmp_path: Path) -> None:
    assert comparable(chart(SAME[way])) == comparable(kustomized(way, tmp_path))


def test_every_kustomization_has_its_counterpart() -> None:
    ways = {f"{path.parent.name}/{path.name}" for path in FOLDER.glob("[co]*/*")}
    # overlays/prometheus-operator is this component alone
    assert ways - {"components/prometheus-operator"} == set(SAME) - {"base"}


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.name)
def test_repeated_files_are_up_to_date(path: Path) -> None:
    assert path.read_text() == COPIES[path], "run make docs"


def test_the_chart_has_no_other_copies() -> None:
    assert set((CHART / "files").rglob("*.*")) == {
        path for path in COPIES if path.is_relative_to(CHART / "files")
    }


def test_the_quick_start_scrapes_the_exporter_and_fires_early() -> None:
    (block,) = (b for b in blocks(ROOT / "docs" / "quickstart.md") if b.reason == "helm")
    resources = chart(from_arguments(re.findall(r"--set (\S+)", block.text)))
    labels = {"release": "prometheus"}
    monitor, rule = only(resources, "ServiceMonitor"), only(resources, "PrometheusRule")
    assert labels.items() <= monitor["metadata"]["labels"].items()
    assert labels.items() <= rule["metadata"]["labels"].items()
    service = only(resources, "Service")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service.items()
    rules = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    assert [r["for"] for r in rules if r.get("alert") == "BullMQNoWorkers"] == ["10s"]
    secret = re.search(r"create secret generic (\S+)", block.text)
    assert secret
    assert container(resources)["envFrom"][0]["secretRef"]["name"] == secret[1]


INSTALLATIONS = [
    line
    for block in all_blocks("sh")
    for line in block.text.replace("\\\n", " ").splitlines()
    if line.startswith("helm install ")
]


@pytest.mark.parametrize("line", INSTALLATIONS)
def test_an_installation_of_the_pages_is_accepted(line: str) -> None:
    _, _, release, reference, *options = line.split()
    assert reference == str(CHART.relative_to(ROOT)) or reference.endswith(f"/charts/{CHART.name}")
    assert set(options[::2]) <= {"--set"}
    assert only(chart(from_arguments(options[1::2]), release), "Deployment")


def test_the_image_that_a_page_builds_is_the_one_that_it_installs() -> None:
    """Without its tag, the pod would ask for the version of the next release."""
    (block,) = [b for b in blocks(CHART / "README.md") if "docker build" in b.text]
    (line,) = [line for line in INSTALLATIONS if "image.repository" in line]
    (pushed,) = re.findall(r"^docker push (\S+)$", block.text, re.MULTILINE)
    assert f" -t {pushed} " in block.text
    assert container(chart(from_arguments(line.split()[5::2])))["image"] == pushed
    (page,) = [b for b in blocks(ROOT / "deploy" / "README.md") if "newName" in b.text]
    (image,) = parse(page.text.replace("…", "."))["images"]
    assert f"{image['newName']}:{image['newTag']}" == pushed
    assert image["name"] == container(chart())["image"].rpartition(":")[0]


def test_helm_reports_nothing() -> None:
    report = helm().lint(str(CHART))
    assert report["errors"] == []
    assert report["messages"] == []


def test_the_icon_is_a_file_of_the_site() -> None:
    chart_file = parse((CHART / "Chart.yaml").read_text())
    site = parse((ROOT / "mkdocs.yml").read_text().replace("!!python/name:", ""))
    path = chart_file["icon"].removeprefix(chart_file["home"])
    assert chart_file["home"] == site["site_url"]
    assert path == site["theme"]["logo"]
    assert (ROOT / "docs" / path).is_file()


def test_helm_reports_an_invalid_template(tmp_path: Path) -> None:
    bad = tmp_path / "bullmq-exporter"
    (bad / "templates").mkdir(parents=True)
    (bad / "Chart.yaml").write_text((CHART / "Chart.yaml").read_text())
    (bad / "templates" / "bad.yaml").write_text("{{ nothing }}")
    assert helm().lint(str(bad))["errors"] != []


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_refused_with_their_place(name: str) -> None:
    values, message = REFUSED[name]
    assert message in refusal(values)


@pytest.mark.parametrize("version", VERSIONS)
def test_resources_with_every_value_are_valid(version: str) -> None:
    for resource in chart(EVERYTHING):
        if resource["kind"] not in OWN_KINDS:
            kubernetes_validate.validate(resource, version, strict=True)


def test_every_value_is_used() -> None:
    """What no other test sets is empty by default, or is set here."""
    defaults = parse((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) == {*defaults, "global"}
    everything = "".join(file.read_text() for file in (CHART / "templates").iterdir())
    for name in defaults:
        assert f".Values.{name}" in everything, name


def test_connections_come_from_their_secrets(tmp_path: Path) -> None:
    resources = chart(EVERYTHING)
    main = container(resources)
    assert "envFrom" not in main
    secrets = {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for each in main["env"]
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    assert secrets == {
        "REDIS_URL_API": {"name": "api-redis", "key": "url"},
        "REDIS_URL_ETL_WORKER": {"name": "etl-redis", "key": "url"},
    }
    written = tmp_path / "config.yaml"
    text = only_config(resources)
    # the mounted file with the password
    password = tmp_path / "etl-worker"
    password.write_text("secret\n")
    written.write_text(text.replace("/run/secrets/bullmq-exporter/", f"{tmp_path}/"))
    env = dict.fromkeys(secrets, "redis://shared:6379/2") | {"LIFECYCLE": "true"}
    config = load(written, env)
    assert set(config.connections) == {"api", "etl-worker", "mail"}
    etl = config.connections["etl-worker"]
    assert (etl.cluster, etl.timeout_seconds, str(etl.url.host)) == (True, 5, "shared")
    found = etl.read_password()
    assert found is not None
    assert found.reveal() == "secret"
    assert config.connections["mail"].user == "monitor"
    assert config.web.enable_lifecycle


def only_config(resources: list[Resource]) -> str:
    (text,) = [r["data"]["config.yaml"] for r in resources if "config.yaml" in r.get("data", {})]
    return str(text)


def test_selectors_find_only_the_release() -> None:
    resources = chart(OPERATOR | {"podDisruptionBudget": {"enabled": True}}, release="jobs")
    labels = only(resources, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/instance"] == "jobs"
    assert only(resources, "Service")["spec"]["selector"] == labels
    assert only(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    monitor, service = only(resources, "ServiceMonitor"), only(resources, "Service")["metadata"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["labels"].items()
    assert monitor["spec"]["jobLabel"] in service["labels"]
    assert {r["metadata"]["name"] for r in resources} == {
        "jobs-bullmq-exporter",
        "jobs-bullmq-exporter-config",
    }


def test_names_can_be_chosen() -> None:
    names = {r["metadata"]["name"] for r in chart({"fullnameOverride": "queues"})}
    assert names == {"queues", "queues-config"}
    made = chart({"serviceAccount": {"create": False, "name": "mine"}})
    assert "ServiceAccount" not in {r["kind"] for r in made}
    assert only(made, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_a_changed_configuration_starts_new_pods() -> None:
    def annotations(values: Values) -> dict[str, str]:
        template = only(chart(values), "Deployment")["spec"]["template"]
        return dict(template["metadata"]["annotations"])

    before = annotations({})
    assert before != annotations({"config": {"poll": {"interval_seconds": 10}}})
    assert before == annotations({"resources": {"limits": {"memory": "1Gi"}}})
    assert annotations({"scrapeAnnotations": True})["prometheus.io/port"] == "9538"


@pytest.mark.parametrize(
    ("tls", "action"),
    [
        ({}, {"httpGet": {"path": "/-/ready", "port": "http"}}),
        (
            {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key"},
            {"httpGet": {"path": "/-/ready", "port": "http", "scheme": "HTTPS"}},
        ),
        (
            {"cert_file": "/tls/c", "key_file": "/tls/k", "client_ca_file": "/tls/ca"},
            {"tcpSocket": {"port": "http"}},
        ),
    ],
)
def test_probes_follow_tls(tls: dict[str, str], action: dict[str, Any]) -> None:
    probe = container(chart({"config": {"web": {"tls": tls}}}))["readinessProbe"]
    assert action.items() <= probe.items()


def test_the_image_is_the_exporters_version_or_a_digest() -> None:
    assert container(chart())["image"].endswith(f"/bullmq-exporter:{__version__}")
    image = {"image": {"digest": f"sha256:{'a' * 64}"}}
    assert container(chart(image))["image"].endswith(f"/bullmq-exporter@sha256:{'a' * 64}")


def test_scaling_finds_its_queue_whatever_its_name() -> None:
    scaled = [r for r in chart(EVERYTHING) if r["kind"] == "ScaledObject"]
    etl, mail = sorted(scaled, key=lambda each: str(each["metadata"]["name"]))
    assert etl["metadata"]["namespace"] == "etl"
    (trigger,) = etl["spec"]["triggers"]
    query = ScaleQuery.of(dict(parse_qsl(urlsplit(trigger["metadata"]["url"]).query)))
    assert (query.queue.name, query.drain_seconds) == ('a&b "c"', 60)
    assert mail["spec"]["minReplicaCount"] == 0
    assert {each["authenticationRef"]["name"] for each in mail["spec"]["triggers"]} == {
        "prometheus"
    }
    quoted = chart({"scaledObjects": {"w": FROM_PROMETHEUS | {"queue": 'a"b\\c'}}})
    for each in only(quoted, "ScaledObject")["spec"]["triggers"]:
        ((_, matchers),) = selectors(each["metadata"]["query"])
        assert "queue" in matchers


class TestRules:
    """The rules of the chart are those of `bullmq-exporter rules` with the same changes."""

    def test_settings_change_an_alert(self) -> None:
        changes = {
            "JobsWaitingTooLong": {"above_seconds": 600.5, "for": "10m", "severity": "critical"},
            "PageNotRendered": {"window": "1h", "for": "30s"},
            "BacklogGrowing": {"for": "0s"},
        }
        options = [
            f"--set={alert}.{name}={value}"
            for alert, settings in changes.items()
            for name, value in settings.items()
        ]
        assert rules({"set": changes}) == printed(*options)

    def test_a_threshold_can_be_zero(self) -> None:
        changes = {"JobsWaitingTooLong": {"above_seconds": 0}}
        assert rules({"set": changes}) == printed("--set=JobsWaitingTooLong.above_seconds=0")

    def test_alerts_can_be_omitted(self) -> None:
        assert rules({"without": ["NoWorkers"]}) == printed("--without=NoWorkers")

    def test_labels_and_links(self) -> None:
        values = {
            "alertLabels": {"team": "jobs"},
            "keepLabels": ["namespace", "instance"],
            "runbookUrl": "https://wiki.example/bullmq",
            "grafanaUrl": "https://grafana.example/",
            "statusUrl": "https://bullmq.example/",
        }
        assert rules(values) == printed(
            "--label=team=jobs",
            "--keep-label=namespace",
            "--keep-label=instance",
            "--runbook-url=https://wiki.example/bullmq",
            "--grafana-url=https://grafana.example/",
            "--status-url=https://bullmq.example/",
        )

    def test_every_setting_can_be_changed(self) -> None:
        """No placeholder stays, whatever is set."""
        changes = {
            alert.name: {
                name: "7m" if name in {"for", "window"} else 0.25 for name in alert.all_settings()
            }
            for alert in ALERTS
        }
        made = rules({"set": changes})
        assert "%{" not in json.dumps(made)
        options = [
            f"--set={a}.{n}={value}" for a, each in changes.items() for n, value in each.items()
        ]
        assert made == printed(*options)


@pytest.mark.parametrize("block", list(blocks(CHART / "README.md")), ids=str)
def test_examples_of_values_are_accepted(block: Block) -> None:
    if block.language == "yaml":
        values = parse(block.text)
        assert len(chart(values)) > len(chart()) or "connections" in values


def test_notes_name_the_workload() -> None:
    assert "deployment/bullmq-exporter -- bullmq-exporter check" in templates()["NOTES.txt"]
    notes = templates(SHARDED | OPERATOR)["NOTES.txt"]
    assert "statefulset/bullmq-exporter" in notes
    assert "does not scrape" not in notes
