"""What the shell completes beyond the names of commands and options."""

from __future__ import annotations

import os
from pathlib import Path

import click


def alerts(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Names of alerts."""
    from exporter.rules.alerts import ALERTS

    return [alert.name for alert in ALERTS if alert.name.startswith(incomplete)]


def changes(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """`NoWorkers.for=`: every setting of every alert."""
    from exporter.rules.alerts import ALERTS

    found = [
        f"{alert.name}.{name}=" for alert in ALERTS for name in ("severity", *alert.all_settings())
    ]
    return [each for each in found if each.startswith(incomplete)]


def connections(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of connections in the configuration that would be used; none if it cannot be read.

    Only read, not validated: that takes longer than anybody waits after a TAB.
    """
    from exporter.config.environment import connections_from
    from exporter.config.errors import ConfigError
    from exporter.config.yaml_reader import read_yaml

    path = context.params.get("path") or os.environ.get("BULLMQ_EXPORTER_CONFIG")
    try:
        data = read_yaml(Path(path).read_text(encoding="utf-8"), str(path)).data if path else None
    except (ConfigError, OSError, UnicodeDecodeError):
        return []
    known = data.get("connections") if isinstance(data, dict) else None
    names = known if isinstance(known, dict) else connections_from(os.environ) or ("default",)
    return [name for name in map(str, names) if name.startswith(incomplete)]
