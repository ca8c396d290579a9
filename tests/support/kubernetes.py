"""The Kubernetes manifests as kustomize renders them."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any

from tests.support.requirements import beside_python
from tests.support.yaml_text import parse_all

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
WAYS = ("base", *sorted(f"overlays/{path.name}" for path in (FOLDER / "overlays").iterdir()))
"""The kustomizations that users apply."""
OWN_KINDS = ("PrometheusRule", "ScaledObject", "ServiceMonitor")
"""Kinds of resources that are not part of Kubernetes."""

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
    return parse_all(done.stdout)


@functools.cache
def rendered(way: str) -> list[Resource]:
    """The resources of a kustomization that users apply."""
    return render(FOLDER / way)


def only(resources: list[Resource], *kinds: str) -> Resource:
    """The one resource of these kinds."""
    (found,) = [resource for resource in resources if resource["kind"] in kinds]
    return found
