"""`bullmq-exporter top`: the queues in full screen."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from exporter.cli.commands.shared import (
    CONFIG_ERROR,
    config_option,
    fail,
    loaded,
    shows_full_screen,
)
from exporter.cli.help_text import COMMAND_HELP
from exporter.views.sorting import SORTS


@click.command(
    "top", short_help="Watch the queues in full screen.", epilog=COMMAND_HELP["top"].epilog
)
@config_option
@click.option(
    "--sort", type=click.Choice(SORTS), default=SORTS[0], show_default=True, help="Sort order."
)
@click.option(
    "--filter",
    "pattern",
    metavar="TEXT",
    default="",
    help="Show only queues whose name contains this, or matches it if it is a glob.",
)
@click.option("--blocked", is_flag=True, help="Show only blocked queues.")
def command(path: Path | None, sort: str, pattern: str, *, blocked: bool) -> None:
    """Watch the queues in full screen: backlogs, trends, drain times, workers, and why."""
    if not shows_full_screen():
        fail("top needs a terminal; use queues --once, or queues --watch", CONFIG_ERROR)
    watch(path, sort, pattern, blocked=blocked)


def watch(path: Path | None, sort: str, pattern: str, *, blocked: bool) -> None:
    """Show the full screen until it is left."""
    from exporter.app import App
    from exporter.top import Session, run_top

    config = loaded(path)
    logging.getLogger().setLevel(logging.WARNING)
    run_top(App(config), config, Session(sort=sort, pattern=pattern, blocked=blocked))
