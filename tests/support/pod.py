"""A pod of rendered manifests as a process on this machine, and what the operator makes of it.

The container's root is a folder, and a port of this machine stands for the container's: `PORT` and
the paths of mounts are the only things that differ from what a kubelet starts.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon, started
from tests.support.image import Image
from tests.support.kubernetes import Resource, only
from tests.support.servers import free_port
from tests.support.waiting import LIMIT_SECONDS

WORKLOADS = ("Deployment", "StatefulSet")


@dataclass(frozen=True)
class Pod:
    """The exporter's pod: its container's command, environment, mounted files, ports, probes."""

    name: str
    container: Resource
    image: Image
    mounts: tuple[str, ...]
    """The paths in the container at which volumes are mounted."""
    environment: dict[str, str]
    port: int
    """Of this machine, in place of the container's only port."""

    @property
    def words(self) -> list[str]:
        """The container's command line."""
        assert "command" not in self.container
        return [self._here(word) for word in self.image.command(self.container.get("args"))]

    def execute(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as `kubectl exec` does: in the container's environment, to its end."""
        program = shutil.which(words[0], path=self.environment["PATH"])
        assert program is not None, f"{words[0]} is not in the image"
        return subprocess.run(
            [program, *words[1:]],
            cwd=self.image.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def local_port(self, port: str | int) -> int:
        """The port of this machine for a port of the container, by name or number."""
        (only_port,) = self.container["ports"]
        assert port in (only_port["name"], only_port["containerPort"])
        return self.port

    def probe(self, kind: str) -> bool:
        """Whether a probe succeeds: asks what the kubelet asks, and judges like it."""
        action = self.container[f"{kind}Probe"]["httpGet"]
        assert action.get("scheme", "HTTP") == "HTTP"
        port = self.local_port(action["port"])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
        headers = {"User-Agent": "kube-probe/1.33", "Accept": "*/*", "Connection": "close"}
        try:
            connection.request("GET", action["path"], headers=headers)
            return 200 <= connection.getresponse().status < 400
        finally:
            connection.close()

    @contextlib.contextmanager
    def run(self) -> Iterator[Daemon]:
        """Start the container. Yields it when the exporter is ready."""
        with started(self.words, self.port, self.image.root, self.environment) as running:
            yield running

    def _here(self, text: str) -> str:
        return _here(text, self.mounts, self.image.root)


def pod_of(resources: list[Resource], image: Image) -> Pod:
    """The pod of the only workload. The image's root gets the files of the mounted volumes."""
    workload = only(resources, *WORKLOADS)
    spec = workload["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    for path, volume in mounts.items():
        _write(image.root / path.lstrip("/"), _files(volume, resources), tuple(mounts), image.root)
    name, port = f"{workload['metadata']['name']}-0", free_port()
    found = _environment(container, resources, name)
    env = {key: _here(value, tuple(mounts), image.root) for key, value in found.items()}
    return Pod(
        name,
        container,
        image,
        tuple(mounts),
        image.environment(**env, PORT=str(port)),
        port,
    )


def _named(resources: list[Resource], kind: str, name: str) -> Resource:
    (found,) = [r for r in resources if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    return found


def _secret(resources: list[Resource], name: str) -> dict[str, str]:
    """The Secret's values by key."""
    secret = _named(resources, "Secret", name)
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def _environment(container: Resource, resources: list[Resource], pod: str) -> dict[str, str]:
    """What the manifest sets; `env` outranks `envFrom`."""
    env: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        env |= _secret(resources, source["secretRef"]["name"])
    for each in container.get("env", ()):
        if "value" in each:
            env[each["name"]] = each["value"]
        elif "secretKeyRef" in each["valueFrom"]:
            key = each["valueFrom"]["secretKeyRef"]
            env[each["name"]] = _secret(resources, key["name"])[key["key"]]
        else:
            assert each["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
            env[each["name"]] = pod
    return env


def _files(volume: Resource, resources: list[Resource]) -> dict[str, str]:
    """The volume's files, by their path in it."""
    found: dict[str, str] = {}
    for source in volume["projected"]["sources"] if "projected" in volume else [volume]:
        if "configMap" in source:
            data = _named(resources, "ConfigMap", source["configMap"]["name"])["data"]
            items = source["configMap"].get("items")
        else:
            secret = source["secret"]
            data = _secret(resources, secret.get("name") or secret["secretName"])
            items = secret.get("items")
        chosen = items or [{"key": key, "path": key} for key in data]
        found |= {item["path"]: data[item["key"]] for item in chosen}
    return found


def _write(folder: Path, files: dict[str, str], mounts: tuple[str, ...], root: Path) -> None:
    """Write the files as a kubelet does: each is a link into a folder that it replaces as one."""
    data = folder / "..2026_01_01_00_00_00.0"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to(data.name)
    for name, text in files.items():
        (data / name).write_text(_here(text, mounts, root))
        (folder / name).symlink_to(f"..data/{name}")


def _here(text: str, mounts: tuple[str, ...], root: Path) -> str:
    """The text with the mounts' paths below the folder that stands for the root."""
    for path in mounts:
        text = text.replace(path, f"{root}{path}")
    return text


def scrape_config(monitor: Resource, service: Resource, pod: Pod) -> dict[str, Any]:
    """The job that the Prometheus operator writes for a ServiceMonitor, with one static target.

    Its labels are those that the operator's relabelling gives a target.
    """
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout"}
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (port,) = [each for each in service["spec"]["ports"] if each["name"] == endpoint["port"]]
    target = {
        "targets": [f"127.0.0.1:{pod.local_port(port['targetPort'])}"],
        "labels": {
            "job": labels[monitor["spec"]["jobLabel"]],
            "namespace": "default",
            "service": service["metadata"]["name"],
            "pod": pod.name,
            "container": pod.container["name"],
            "endpoint": port["name"],
        },
    }
    return {
        "job_name": f"serviceMonitor/default/{monitor['metadata']['name']}/0",
        "metrics_path": endpoint["path"],
        "scrape_interval": endpoint["interval"],
        "scrape_timeout": endpoint["scrapeTimeout"],
        "static_configs": [target],
    }
