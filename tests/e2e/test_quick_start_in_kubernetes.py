"""The quick start in Kubernetes, walked from its own commands to a firing alert, without a cluster.

The real kubectl must accept the words of each command. Then it is done here:

- `create secret` by kubectl itself, `install` by Helm's library, `apply -k` by kustomize;
- the rendered container runs as a process: command, variables, the Secret, mounted files, probes;
- `exec` runs its command in that process's environment, or for `api` with Node and BullMQ;
- a Prometheus scrapes and evaluates what ServiceMonitor and PrometheusRule say, as their operator
  would write it. Only its rules are evaluated each second instead of every 30.

Not done, because it needs a cluster: what the API server and the operators do with the resources,
which other tests check against their schemas; pulling the image, which tests/e2e/test_image.py
makes; the limits of the pod, DNS, the NetworkPolicy, and forwarding ports.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from exporter.config.models import Poll, Queues
from tests.support.commands import ROOT, blocks, section
from tests.support.daemon import Daemon
from tests.support.dist import install
from tests.support.helm import CHART, chart, from_arguments, templates
from tests.support.image import Image
from tests.support.kubernetes import FOLDER, Resource, only, render
from tests.support.pod import Pod, pod_of, scrape_config
from tests.support.prometheus import NEWEST_PROMETHEUS, Prometheus, configured
from tests.support.requirements import beside_python, node_modules, require
from tests.support.servers import Server, free_port, valkey
from tests.support.waiting import LIMIT_SECONDS, wait_for

QUICK_START = ROOT / "docs" / "quickstart.md"
TITLE = "In Kubernetes"
REDIS = ("redis://redis:6379/0", "redis://host:6379/0")
"""The URLs of Redis on the pages; the test's own stands for them."""
ALERT = "BullMQNoWorkers"
EVALUATION_SECONDS = 30
"""How often the operator's Prometheus evaluates rules by default."""


@dataclass
class Walk:
    """A reader's cluster: what has been applied, and what runs of it on this machine."""

    folder: Path
    image: Image
    server: Server
    running: contextlib.ExitStack
    resources: list[Resource] = field(default_factory=list)
    notes: str = ""
    """What Helm prints after an installation."""
    pod: Pod | None = None
    exporter: Daemon | None = None
    prometheus: Prometheus | None = None
    outputs: list[str] = field(default_factory=list)
    """What each command in the exporter's container printed."""
    alerts: list[dict[str, Any]] = field(default_factory=list)
    """What fired."""

    def type(self, line: str) -> None:
        """Do what a line of the page does. Fails for one that this class does not know."""
        match shlex.split(line):
            case ["helm", "install", release, reference, *options]:
                self._install(release, reference, options)
            case ["kubectl", *arguments]:
                self._read_by_kubectl(arguments)
                if arguments[:2] == ["--namespace", "default"]:
                    arguments = arguments[2:]
                self._kubectl(arguments)
            case _:
                raise AssertionError(f"this test does not know how to do {line!r}")

    def _read_by_kubectl(self, arguments: list[str]) -> None:
        """Fail unless kubectl understands the words: then it asks a cluster, and finds none."""
        server = f"--server=http://127.0.0.1:{free_port()}"
        done = kubectl(self.folder, server, *arguments)
        assert re.search("connection refused|was refused", done.stderr), done.stderr

    def _kubectl(self, arguments: list[str]) -> None:
        match arguments:
            case ["create", "secret", *_]:
                words = map(self._with_own_redis, arguments)
                done = kubectl(self.folder, *words, "--dry-run=client", "--output=yaml")
                assert done.returncode == 0, done.stderr
                self.resources.append(yaml.safe_load(done.stdout))
            case ["apply", "-k", folder]:
                made = json.dumps(render(ROOT / folder))
                self.resources += json.loads(self._with_own_redis(made))
                self._start()
            case ["rollout", "status", workload]:
                self._find(workload)
                assert self.pod is not None
                assert self.pod.probe("readiness")
                assert self.pod.probe("liveness")
            case ["exec", "deploy/api", "--", "node", *rest]:
                self._in_a_service(rest)
            case ["exec", workload, "--", *words]:
                self._find(workload)
                assert self.pod is not None
                done = self.pod.execute(words)
                assert done.returncode == 0, done.stdout + done.stderr
                assert done.stderr == ""
                self.outputs.append(done.stdout)
            case ["port-forward", "svc/prometheus-kube-prometheus-prometheus", "9090"]:
                assert self.prometheus is not None
            case ["port-forward", service, port]:
                ports = self._find(service)["spec"]["ports"]
                assert [str(each["port"]) for each in ports] == [port]
            case _:
                raise AssertionError(f"this test does not know how to do kubectl {arguments}")

    def _with_own_redis(self, text: str) -> str:
        for url in REDIS:
            text = text.replace(url, self.server.url)
        return text

    def _find(self, name: str) -> Resource:
        """The applied resource that kubectl finds by a word such as `deploy/exporter`."""
        short, _, wanted = name.partition("/")
        kinds = {
            "deploy": "Deployment",
            "deployment": "Deployment",
            "svc": "Service",
            "service": "Service",
        }
        found = only(self.resources, kinds[short])
        assert found["metadata"]["name"] == wanted
        return found

    def _install(self, release: str, reference: str, options: list[str]) -> None:
        assert reference.rpartition("/")[2] == CHART.name
        assert set(options[::2]) == {"--set"}
        values = from_arguments(options[1::2])
        self.resources += chart(values, release)
        self.notes = templates(values, release)["NOTES.txt"]
        self._start()
        self._scrape()

    def _start(self) -> None:
        self.pod = pod_of(self.resources, self.image)
        self.exporter = self.running.enter_context(self.pod.run())

    def _scrape(self) -> None:
        """Start the Prometheus of kube-prometheus-stack, which the page's reader already has."""
        assert self.pod is not None
        monitor = only(self.resources, "ServiceMonitor")
        rule = only(self.resources, "PrometheusRule")
        for each in (monitor, rule):
            # the stack selects by its own release, which the page names
            assert each["metadata"]["labels"]["release"] == "prometheus"
        (self.folder / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
        config = {
            "global": {"evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                scrape_config(monitor, only(self.resources, "Service"), self.pod),
            ],
        }
        self.prometheus = self.running.enter_context(
            configured(self.folder, config, program=NEWEST_PROMETHEUS)
        )

    def _in_a_service(self, arguments: list[str]) -> None:
        """Run Node in the folder of a service that has BullMQ."""
        service = self.folder / "api"
        modules = service / "node_modules"
        modules.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (modules / "bullmq").symlink_to(node_modules() / "bullmq6")
        done = subprocess.run(
            [require("node"), *arguments],
            cwd=service,
            env={"PATH": os.environ["PATH"], "REDIS_URL": self.server.url},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        # a new queue is otherwise found within a minute
        assert self.exporter is not None
        self.exporter.process.send_signal(signal.SIGUSR1)


def kubectl(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [beside_python("kubectl"), *arguments],
        env={"HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def lines(page: Path, title: str) -> Iterator[str]:
    """The command lines of a section."""
    for block in section(page, title):
        yield from block.text.replace("\\\n", " ").splitlines()


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the image's environment, made from the wheel."""
    root = tmp_path_factory.mktemp("image")
    wheel = next(dist.glob("*.whl"))
    install(root / "opt" / "bullmq-exporter", f"{wheel}[fast]")
    return root


def root_folder(folder: Path, installed: Path) -> Image:
    """A container's own root, with what is in the image."""
    root = folder / "root"
    root.mkdir()
    (root / "opt").symlink_to(installed / "opt")
    return Image(root)


@pytest.fixture(scope="module")
def walked(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The cluster after the last step of the quick start."""
    folder = tmp_path_factory.mktemp("walk")
    with valkey() as server, contextlib.ExitStack() as running:
        here = Walk(folder, root_folder(folder, installed), server, running)
        for line in lines(QUICK_START, TITLE):
            here.type(line)
            if line.startswith("kubectl port-forward svc/prometheus-"):
                here.alerts = wait_for(lambda: firing(here, ALERT), f"{ALERT} fires")
        yield here


def test_the_path_leads_to_a_firing_alert(walked: Walk) -> None:
    (verdict,) = (output.splitlines()[-1] for output in walked.outputs)
    assert verdict.startswith("OK: Redis reached, ")
    (alert,) = walked.alerts
    assert {"queue": "quickstart", "prefix": "bull"}.items() <= alert["labels"].items()
    assert "quickstart" in alert["annotations"]["description"]


def test_the_path_cleans_up(walked: Walk) -> None:
    assert walked.server.client().keys("bull:*") == []


def test_the_pod_may_reach_the_redis_of_the_page(walked: Walk) -> None:
    egress = only(walked.resources, "NetworkPolicy")["spec"]["egress"]
    port = urlsplit(REDIS[0]).port
    assert port in [each["port"] for rule in egress for each in rule.get("ports", ())]


def firing(here: Walk, name: str) -> list[dict[str, Any]]:
    """What `localhost:9090/alerts` lists as firing of an alert."""
    assert here.prometheus is not None
    found = [each for each in here.prometheus.get("alerts")["alerts"] if each["state"] == "firing"]
    return [each for each in found if each["labels"]["alertname"] == name]


def test_the_alert_fires_as_early_as_the_page_says() -> None:
    """However unlucky the times at which the exporter looks, Prometheus scrapes and evaluates."""
    (install_line,) = [
        line for line in lines(QUICK_START, TITLE) if line.startswith("helm install")
    ]
    resources = chart(from_arguments(re.findall(r"--set (\S+)", install_line)))
    groups = only(resources, "PrometheusRule")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    (waits,) = [rule["for"] for rule in rules if rule.get("alert") == ALERT]
    (endpoint,) = only(resources, "ServiceMonitor")["spec"]["endpoints"]
    found = Queues().discovery_interval_seconds + Poll().interval_seconds
    scraped = seconds(endpoint["interval"]) + EVALUATION_SECONDS
    # it fires at the first evaluation after its time
    assert seconds(waits) < EVALUATION_SECONDS
    assert found + scraped + EVALUATION_SECONDS <= 3 * 60
    assert f"`localhost:9090/alerts` shows {ALERT} firing within three minutes" in (
        QUICK_START.read_text()
    )


def seconds(duration: str) -> float:
    """A duration of Prometheus that has one unit."""
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def test_the_notes_of_the_installation_work(walked: Walk) -> None:
    commands = [line.strip() for line in walked.notes.splitlines() if line.startswith("  kubectl ")]
    assert len(commands) == 2
    for line in commands:
        walked.type(line)
    assert walked.outputs.pop().splitlines()[-1].startswith("OK: ")
    assert walked.exporter is not None
    assert "http://localhost:9538/\n" in walked.notes
    assert walked.exporter.get("/").status == 200


def test_kustomize_leads_to_a_ready_pod(installed: Path, server: Server, tmp_path: Path) -> None:
    with contextlib.ExitStack() as running:
        here = Walk(tmp_path, root_folder(tmp_path, installed), server, running)
        for line in lines(ROOT / "deploy" / "README.md", "Kubernetes"):
            here.type(line)
        here.type("kubectl rollout status deploy/bullmq-exporter")
        here.type("kubectl exec deploy/bullmq-exporter -- bullmq-exporter check")
    assert here.outputs[0].splitlines()[-1].startswith("OK: ")


def test_a_mounted_password_is_read(installed: Path, tmp_path: Path) -> None:
    """The password is in no variable, only in the file of the Secret's volume."""
    password = secrets.token_hex()
    way = {
        "resources": [os.path.relpath(FOLDER / "base", tmp_path)],
        "components": [os.path.relpath(FOLDER / "components" / "password-file", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(way))
    with valkey("--requirepass", password) as server, contextlib.ExitStack() as running:
        here = Walk(tmp_path, root_folder(tmp_path, installed), server, running)
        create = "kubectl create secret generic bullmq-exporter-redis"
        here.type(f"{create} --from-literal=password={password}")
        here.type(f"kubectl apply -k {tmp_path}")
        here.type("kubectl rollout status deploy/bullmq-exporter")
        here.type("kubectl exec deploy/bullmq-exporter -- bullmq-exporter check")
        assert here.pod is not None
        assert password not in str(here.pod.environment)
    assert here.outputs[0].splitlines()[-1].startswith("OK: ")
    assert password not in here.outputs[0]


def test_the_printed_rules_get_the_label_of_the_stack(tmp_path: Path) -> None:
    """README.md's pipe, up to the command that needs a cluster."""
    (line,) = [
        line
        for b in blocks(ROOT / "README.md")
        for line in b.text.splitlines()
        if "apply -f" in line
    ]
    pipe, _, last = line.rpartition(" | ")
    assert last == "kubectl apply -f -"
    path = f"{Path(beside_python('kubectl')).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-ec", pipe],
        env={"HOME": str(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load(done.stdout)
    assert made["metadata"]["labels"] == {"release": "prometheus"}
    committed = FOLDER / "components" / "prometheus-operator" / "prometheusrule.yaml"
    assert made["spec"] == yaml.safe_load(committed.read_text())["spec"]
