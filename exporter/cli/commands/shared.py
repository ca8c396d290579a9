"""Shared by several commands: options, exit codes, loading the configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

if TYPE_CHECKING:
    from exporter.config.models import Config

CONFIG_ERROR: Final = 2
FAILED: Final = 1

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    envvar="BULLMQ_EXPORTER_CONFIG",
    show_envvar=True,
    help="YAML configuration file. Without it, REDIS_URL and REDIS_URL_<NAME> are used.",
)
listen_option = click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Address to listen on; overrides PORT in the environment and the configuration.",
)


def loaded(path: Path | None, listen: str | None = None, web_config: Path | None = None) -> Config:
    """Load the configuration and set up logging; exits with 2 if the configuration is invalid."""
    from exporter.config.errors import ConfigError
    from exporter.config.loader import load
    from exporter.log import set_up

    try:
        config = load(path, os.environ, listen, web_config)
    except ConfigError as error:
        fail(str(error), CONFIG_ERROR)
    set_up(config.log.level, config.log.format)
    return config


def fail(text: str, code: int) -> NoReturn:
    """Print an error on standard error and exit."""
    click.echo(f"bullmq-exporter: {text}", err=True)
    sys.exit(code)


def shows_full_screen() -> bool:
    """Whether this process can show a full screen and read keys."""
    capable = os.environ.get("TERM", "") not in ("", "dumb")
    return capable and sys.stdin.isatty() and sys.stdout.isatty()
