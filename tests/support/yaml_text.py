"""Parses YAML with libyaml, which takes a tenth of the time; PyYAML's wheels have it."""

from __future__ import annotations

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str) -> Any:
    """The only document. Raises `yaml.YAMLError`."""
    return yaml.load(text, _LOADER)  # noqa: S506 - it is a safe one


def parse_all(text: str) -> list[Any]:
    """All documents. Raises `yaml.YAMLError`."""
    return list(yaml.load_all(text, _LOADER))
