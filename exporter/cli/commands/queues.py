"""`bullmq-exporter queues`: the queues as a table."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.cli.commands.shared import FAILED, config_option, loaded
from exporter.cli.help_text import COMMAND_HELP
from exporter.views.sorting import SORTS

if TYPE_CHECKING:
    from exporter.views.overview import Overview


@click.command(
    "queues",
    short_help="Show the queues, and why they are blocked.",
    epilog=COMMAND_HELP["queues"].epilog,
)
@config_option
@click.option("--once", is_flag=True, help="Watch for a second, print the table once and exit.")
@click.option("--watch", is_flag=True, help="Refresh at every poll (default on a terminal).")
@click.option("--json", "json_", is_flag=True, help="Print JSON objects instead of tables.")
@click.option(
    "--sort", type=click.Choice(SORTS), default="name", show_default=True, help="Sort order."
)
@click.option(
    "--filter", "pattern", metavar="GLOB", default="*", help="Show only queues whose name matches."
)
@click.option("--blocked", is_flag=True, help="Show only blocked queues.")
def command(
    path: Path | None,
    sort: str,
    pattern: str,
    *,
    once: bool,
    watch: bool,
    json_: bool,
    blocked: bool,
) -> None:
    """Show the queues: jobs by state, how long they wait, and why they are blocked."""
    from exporter.app import App
    from exporter.progress import Progress
    from exporter.views.queues_table import choose, table

    effective = loaded(path)
    logging.getLogger().setLevel(logging.WARNING)

    def show(overview: Overview) -> None:
        views = choose(overview, sort, pattern, blocked=blocked)
        if json_:
            click.echo(json.dumps(overview.as_json(views), ensure_ascii=False))
            return
        for line, is_blocked in table(views):
            click.secho(line, fg="red" if is_blocked else None, color=_color())
        click.echo(f"\n{overview.verdict}")

    app = App(effective)
    if once or not (watch or sys.stdout.isatty()):
        with Progress("watching the queues"):
            overview, reached = app.overview_once(seconds=1.0)
        show(overview)
        sys.exit(0 if reached else FAILED)
    for overview in app.overviews():
        if sys.stdout.isatty():
            click.clear()
        show(overview)


def _color() -> bool | None:
    """False if NO_COLOR is set; else click uses colors only on a terminal."""
    return False if os.environ.get("NO_COLOR") else None
