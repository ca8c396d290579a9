"""The compose file, as compose would read it without a `.env`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "deploy" / "compose.yaml"

_VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")


def load() -> dict[str, Any]:
    """The file, with the default of every variable."""
    loaded: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(r"\1", FILE.read_text()))
    return loaded


SERVICES: dict[str, dict[str, Any]] = load()["services"]


def mounts(service: str) -> dict[str, Path]:
    """Files and folders of this repository by path in the container; no named volumes."""
    found = {}
    for volume in SERVICES[service].get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            found[target] = (FILE.parent / source).resolve()
    return found


def command(service: str) -> list[str]:
    """The command of a service whose entrypoint is also in the file."""
    both: list[str] = SERVICES[service]["entrypoint"] + SERVICES[service]["command"]
    return both
