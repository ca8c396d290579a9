"""The Helm chart as Helm renders it, through its library: no binary is needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.kubernetes import Resource
from tests.support.requirements import missing
from tests.support.yaml_text import parse, parse_all

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "bullmq-exporter"
Values = dict[str, Any]


def helm() -> ModuleType:
    """Helm's library; it has no wheel for some platforms."""
    try:
        return importlib.import_module("helm_python")
    except ImportError:
        missing("helm-python-sdk is not installed; it has no wheel for some platforms")
        raise


def templates(values: Values | None = None, release: str = "bullmq-exporter") -> dict[str, str]:
    """Name of a template → what it renders, in the namespace default. Raises Helm's errors."""
    with helm().Chart.load(str(CHART)) as chart:
        rendered: dict[str, str] = chart.render(values or {}, name=release, namespace="default")
    return {Path(path).name: text for path, text in rendered.items()}


def chart(values: Values | None = None, release: str = "bullmq-exporter") -> list[Resource]:
    """All resources of a release."""
    found = templates(values, release)
    del found["NOTES.txt"]
    documents = (each for text in found.values() for each in parse_all(text))
    return [each for each in documents if each is not None]


def from_arguments(arguments: list[str]) -> Values:
    """The values of `--set a.b=c`."""
    values: Values = {}
    for argument in arguments:
        path, _, text = argument.partition("=")
        *folders, name = path.split(".")
        inner = values
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = parse(text)
    return values


def refusal(values: Values) -> str:
    """Helm's message for values that the chart refuses."""
    errors = helm()
    try:
        templates(values)
    except errors.HelmError as error:
        return str(error)
    raise AssertionError("the chart accepts these values")
