"""`--version`: this program's, and those that a report of a problem needs."""

from __future__ import annotations

import platform

import click

from exporter import __version__

_LIBRARIES = {"redis": "redis-py", "hiredis": "hiredis", "prometheus-client": "prometheus-client"}


def versions() -> str:
    """A line for the program, one for Python and one for each library."""
    lines = [f"bullmq-exporter, version {__version__}", f"Python {platform.python_version()}"]
    lines += [f"{shown} {_installed(name)}" for name, shown in _LIBRARIES.items()]
    return "\n".join(lines)


def _installed(name: str) -> str:
    # takes longer than all else that --help and completion import
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def print_version(
    context: click.Context,
    _: click.Parameter,
    value: bool,  # noqa: FBT001 - click gives it by position
) -> None:
    """click's callback of the flag."""
    if value and not context.resilient_parsing:
        click.echo(versions())
        context.exit()
