"""Shell completion of values: alerts, their settings and connections."""

from __future__ import annotations

import os
from pathlib import Path

import click


def alerts(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Alert names that start with the given text."""
    from exporter.rules.alerts import ALERTS

    return [alert.name for alert in ALERTS if alert.name.startswith(incomplete)]


def changes(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Settings such as `NoWorkers.for=` that start with the given text."""
    from exporter.rules.alerts import ALERTS

    settings = [
        f"{alert.name}.{name}=" for alert in ALERTS for name in ("severity", *alert.all_settings())
    ]
    return [setting for setting in settings if setting.startswith(incomplete)]


def connections(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Connection names from the effective configuration; none if it cannot be read.

    The configuration is not validated, since that takes too long for a completion.
    """
    from exporter.config.environment import connections_from
    from exporter.config.errors import ConfigError
    from exporter.config.regular_file import MAX_YAML_BYTES, read_text
    from exporter.config.yaml_reader import read_yaml

    path = context.params.get("path") or os.environ.get("BULLMQ_EXPORTER_CONFIG")
    try:
        data = read_yaml(read_text(Path(path), MAX_YAML_BYTES), str(path)).data if path else None
    except (ConfigError, OSError, UnicodeDecodeError):
        return []
    section = data.get("connections") if isinstance(data, dict) else None
    names = section if isinstance(section, dict) else connections_from(os.environ) or ("default",)
    return [name for name in map(str, names) if name.startswith(incomplete)]
