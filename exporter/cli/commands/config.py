"""`bullmq-exporter config`: the effective configuration."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli.commands.shared import config_option, listen_option, loaded
from exporter.cli.help_text import COMMAND_HELP


@click.command(
    "config",
    short_help="Print the effective configuration.",
    epilog=COMMAND_HELP["config"].epilog,
)
@config_option
@listen_option
@click.option("--check", is_flag=True, help="Only validate the configuration.")
def command(path: Path | None, listen: str | None, *, check: bool) -> None:
    """Print the effective configuration with all defaults; secrets are masked."""
    effective = loaded(path, listen)
    if check:
        click.echo(f"{path or 'the environment'} is valid")
    else:
        from exporter.config.show import show

        click.echo(show(effective), nl=False)
