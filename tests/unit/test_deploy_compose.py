"""The compose file follows its schema, and everything that it names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from exporter.config.loader import load as load_config
from exporter.demo.scenarios import PRODUCERS, SCENARIOS, Outages
from tests.support import image
from tests.support.commands import blocks
from tests.support.compose import FILE, SERVICES, command, load, mounts
from tests.support.image import ROOT
from tests.support.schemas import violations
from tests.support.yaml_text import parse

MOUNTS = [(service, *mount) for service in SERVICES for mount in mounts(service).items()]
DEMO = {name: command(name) for name in SERVICES if name.startswith("demo-")}


def test_the_file_follows_the_schema() -> None:
    assert violations("compose-spec", FILE) == ""


def test_the_schema_rejects_an_unknown_key(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text(FILE.read_text().replace("depends_on", "depends-on"))
    assert "depends-on" in violations("compose-spec", bad)


@pytest.mark.parametrize(("service", "target", "source"), MOUNTS)
def test_mounted_paths_exist(service: str, target: str, source: Path) -> None:
    assert source.exists(), f"{service}: {target}"
    assert source.is_relative_to(ROOT)


def test_named_services_volumes_and_arguments_exist() -> None:
    whole = load()
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        named = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {volume for volume in named if not volume.startswith(".")} <= set(whole["volumes"])
        if build := service.get("build"):
            context = (FILE.parent / build["context"]).resolve()
            assert (context, context / build["dockerfile"]) == (ROOT, image.FILE)
            arguments = {step.value.split("=")[0] for step in image.stages()[0]}
            assert set(build.get("args", {})) <= arguments


def test_images_are_pinned_and_ports_are_local() -> None:
    pinned = re.compile(r"[a-z/]+:v?\d+(\.\d+)+(-\w+)?@sha256:[0-9a-f]{64}")
    for name, service in SERVICES.items():
        assert "build" in service or pinned.fullmatch(service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_the_exporter_accepts_its_environment() -> None:
    environment = SERVICES["exporter"]["environment"]
    config = load_config(None, environment)
    assert {"default": environment["REDIS_URL"]} == {
        name: str(connection.url) for name, connection in config.connections.items()
    }
    assert set(environment) == {"REDIS_URL"}, "a variable that this test does not check"
    assert config.listen.endswith(":" + image.one(image.stages()[-1], "EXPOSE").value)


def test_the_quick_start_starts_what_its_own_redis_needs() -> None:
    (block,) = (b for b in blocks(ROOT / "docs" / "quickstart.md") if b.reason == "docker")
    url, *words = shlex.split(block.text)
    started = words[words.index("--detach") + 1 :]
    assert "exporter" in started
    for name in started:
        assert set(SERVICES[name].get("depends_on", {})) <= set(started)
    name, _, address = url.partition("=")
    assert f"${{{name}:-" in FILE.read_text()
    host, _, _ = address.removeprefix("redis://").partition(":")
    assert SERVICES["exporter"]["extra_hosts"] == [f"{host}:host-gateway"]


def test_prometheus_uses_the_ports_of_exporter_and_alertmanager() -> None:
    ours = parse((FILE.parent / "compose" / "prometheus.yml").read_text())
    (scrape,) = ours["scrape_configs"]
    (alertmanager,) = ours["alerting"]["alertmanagers"]
    (exporter,) = scrape["static_configs"][0]["targets"]
    (manager,) = alertmanager["static_configs"][0]["targets"]
    for target in (exporter, manager):
        service, _, port = target.partition(":")
        assert f"127.0.0.1:{port}:{port}" in SERVICES[service]["ports"]
    example = parse((ROOT / "prometheus" / "prometheus.yml").read_text())
    scrape["static_configs"][0]["targets"] = ["localhost:9538"]
    alertmanager["static_configs"][0]["targets"] = ["localhost:9093"]
    assert ours == example


def test_grafana_is_provisioned_with_dashboards_and_prometheus() -> None:
    found = mounts("grafana")
    provisioning = found["/etc/grafana/provisioning"]
    provider = parse((provisioning / "dashboards" / "bullmq.yaml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    environment = SERVICES["grafana"]["environment"]
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert (found[folder] / home.name).exists()
    assert "${PROMETHEUS_URL}" in (provisioning / "datasources" / "prometheus.yaml").read_text()
    assert environment["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_every_demo_server_is_a_service() -> None:
    for words in DEMO.values():
        assert words[:3] == ["python", "-m", "exporter.demo.traffic"]
        assert words[3] in SCENARIOS
        assert words[5] == SERVICES["exporter"]["environment"]["REDIS_URL"]
    one_server = [
        scenario
        for scenario in SCENARIOS.values()
        if len(scenario.connections) == 1 and not isinstance(scenario.fault, Outages)
    ]
    for scenario in one_server:
        parts = {PRODUCERS} | {load.worker for load in scenario.loads}
        assert {words[4] for words in DEMO.values()} == parts, scenario.name
    readme = (FILE.parent / "README.md").read_text()
    assert ", ".join(f"`{scenario.name}`" for scenario in one_server) in readme
