"""`bullmq-exporter run`: the daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from exporter.cli.commands.shared import FAILED, config_option, fail, listen_option, loaded
from exporter.cli.help_text import COMMAND_HELP


@click.command("run", epilog=COMMAND_HELP["run"].epilog)
@config_option
@listen_option
@click.option(
    "--web.config.file",
    "web_config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TLS and users in the format of Prometheus' exporters; overrides web.config_file.",
)
@click.option(
    "--once",
    is_flag=True,
    help="Poll once, print the metrics and exit, with 1 if a Redis is unreachable.",
)
def command(path: Path | None, listen: str | None, web_config: Path | None, *, once: bool) -> None:
    """Watch the queues and serve /metrics."""
    from exporter.app import App
    from exporter.config.loader import load
    from exporter.web import ListenError

    app = App(
        loaded(path, listen, web_config),
        lambda: load(path, os.environ, listen, web_config),
        path,
    )
    if once:
        from exporter.terminal.progress import Progress

        with Progress("reading every queue"):
            page, reached = app.page_once()
        click.echo(page, nl=False)
        sys.exit(0 if reached else FAILED)
    try:
        app.run()
    except ListenError as error:
        fail(str(error), FAILED)
