"""The effective configuration as YAML, secrets masked."""

from __future__ import annotations

from typing import Any

import yaml

from exporter.config.models import Config


class _Dumper(yaml.SafeDumper):
    """Writes lists of scalars on one line, as the example configuration does."""


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    flow = not any(isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flow)


_Dumper.add_representer(list, _represent_list)


def show(config: Config) -> str:
    """Every key with its effective value; passwords, including those in URLs, are `***`."""
    return yaml.dump(
        config.model_dump(mode="json"),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
