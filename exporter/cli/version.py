"""`--version`: the versions that a bug report needs."""

from __future__ import annotations

import platform

import click

from exporter import __version__

_LIBRARIES = {"redis": "redis-py", "hiredis": "hiredis", "prometheus-client": "prometheus-client"}


def versions() -> str:
    """One line each for the exporter, Python and the libraries."""
    lines = [f"bullmq-exporter, version {__version__}", f"Python {platform.python_version()}"]
    lines += [f"{shown} {_installed(name)}" for name, shown in _LIBRARIES.items()]
    return "\n".join(lines)


def _installed(name: str) -> str:
    # this import takes longer than all others of --help and completion
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def print_version(
    context: click.Context,
    _: click.Parameter,
    value: bool,  # noqa: FBT001 - click passes it by position
) -> None:
    """The click callback of `--version`."""
    if value and not context.resilient_parsing:
        click.echo(versions())
        context.exit()
