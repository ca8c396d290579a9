"""`bullmq-exporter queues`: the queues as a table."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.cli.commands.shared import FAILED, config_option, loaded, shows_full_screen
from exporter.cli.commands.top import watch as watch_in_full_screen
from exporter.cli.help_text import COMMAND_HELP
from exporter.views.sorting import SORTS

if TYPE_CHECKING:
    from exporter.views.moment import Moment


@click.command(
    "queues",
    short_help="Show the queues, and why they are blocked.",
    epilog=COMMAND_HELP["queues"].epilog,
)
@config_option
@click.option("--once", is_flag=True, help="Watch for a second, print the table once and exit.")
@click.option("--watch", is_flag=True, help="Print the table at every poll.")
@click.option("--json", "json_", is_flag=True, help="Print JSON objects instead of tables.")
@click.option(
    "--sort", type=click.Choice(SORTS), default=SORTS[0], show_default=True, help="Sort order."
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
    """Show the queues: jobs by state, how long they wait, and why they are blocked.

    On a terminal, without --once, --watch or --json, it is the same as `top`.
    """
    if shows_full_screen() and not (once or watch or json_):
        watch_in_full_screen(path, sort, pattern, blocked=blocked)
        return
    from exporter.app import App
    from exporter.terminal.progress import Progress

    effective = loaded(path)
    logging.getLogger().setLevel(logging.WARNING)
    chosen = _Chosen(sort, pattern, json=json_, blocked=blocked)
    app = App(effective)
    if once or not (watch or sys.stdout.isatty()):
        with Progress("watching the queues"):
            moment, reached = app.moment_once(seconds=1.0)
        sys.exit(0 if _show(moment, chosen) and reached else FAILED)
    for moment in app.moments():
        if sys.stdout.isatty():
            click.clear()
        _show(moment, chosen)


@dataclass(frozen=True)
class _Chosen:
    """What to show, and how."""

    sort: str
    pattern: str
    json: bool
    blocked: bool


def _show(moment: Moment, chosen: _Chosen) -> bool:
    """Print the queues and the verdict; returns whether any queue matches the pattern."""
    from exporter.findings import verdict_of
    from exporter.terminal.columns import aligned
    from exporter.views.overview import overview
    from exporter.views.queues_table import choose, failure_lines, table, worker_lines

    queues, verdict = overview(moment), verdict_of(moment)
    views = choose(queues, chosen.sort, chosen.pattern, blocked=chosen.blocked)
    matching = bool(choose(queues, chosen.sort, chosen.pattern, blocked=False))
    if chosen.json:
        content = verdict.as_json() | queues.as_json(views)
        click.echo(json.dumps(content, ensure_ascii=False))
        return matching
    header, *lines = aligned(table(views))
    click.echo(header)
    for line, view in zip(lines, views, strict=True):
        is_bad = view.reason is not None and not view.is_intended
        click.secho(line, fg="red" if is_bad else None, color=_color())
    if not matching and queues.queues:
        click.echo(f"no queue matches the filter {chosen.pattern}")
    click.echo()
    for line in (*failure_lines(views), *worker_lines(views)):
        click.echo(line)
    for line in verdict.lines():
        click.echo(line)
    return matching


def _color() -> bool | None:
    """False if NO_COLOR is set; else click uses colors only on a terminal."""
    return False if os.environ.get("NO_COLOR") else None
