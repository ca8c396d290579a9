"""What the shell completes beyond the names of commands and options."""

from __future__ import annotations

import os
from pathlib import Path

import click

from exporter.config import ConfigError, load
from exporter.rules import ALERTS


def alerts(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Names of alerts."""
    return [alert.name for alert in ALERTS if alert.name.startswith(incomplete)]


def changes(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """`NoWorkers.for=`: every setting of every alert."""
    found = [
        f"{alert.name}.{name}=" for alert in ALERTS for name in ("severity", *alert.all_settings())
    ]
    return [each for each in found if each.startswith(incomplete)]


def connections(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of connections in the configuration that would be used; none if it is wrong."""
    path = context.params.get("path") or os.environ.get("BULLMQ_EXPORTER_CONFIG")
    try:
        known = load(Path(path) if path else None, os.environ).connections
    except ConfigError:
        return []
    return [name for name in known if name.startswith(incomplete)]
