"""The Kubernetes manifests as kustomize renders them."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.requirements import beside_python

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
WAYS = ("base", *sorted(f"overlays/{path.name}" for path in (FOLDER / "overlays").iterdir()))
"""What a user applies."""
OWN_KINDS = ("PrometheusRule", "ScaledObject", "ServiceMonitor")
"""Those that Kubernetes does not bring."""

Resource = dict[str, Any]


def render(folder: Path) -> list[Resource]:
    """All resources of a kustomization."""
    done = subprocess.run(
        [beside_python("kubectl"), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def rendered(way: str) -> list[Resource]:
    """What is applied in one of the ways."""
    return render(FOLDER / way)


def only(resources: list[Resource], *kinds: str) -> Resource:
    """The one resource of these kinds."""
    (found,) = [resource for resource in resources if resource["kind"] in kinds]
    return found
