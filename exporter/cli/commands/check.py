"""`bullmq-exporter check`: the connection test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from exporter.cli import complete
from exporter.cli.commands.shared import CONFIG_ERROR, FAILED, config_option, fail, loaded
from exporter.cli.help_text import COMMAND_HELP


@click.command("check", epilog=COMMAND_HELP["check"].epilog)
@config_option
@click.option(
    "--connection",
    metavar="NAME",
    shell_complete=complete.connections,
    help="Test only this connection.",
)
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON object instead of a table.")
def command(path: Path | None, connection: str | None, *, as_json_: bool) -> None:
    """Test every connection, step by step, and every pair of them."""
    from exporter.check import Printer, Silent, as_json, run_checks
    from exporter.terminal.progress import Progress

    effective = loaded(path)
    if connection is not None and connection not in effective.connections:
        available = ", ".join(effective.connections)
        fail(f"unknown connection {connection}; available: {available}", CONFIG_ERROR)
    names = [connection] if connection is not None else list(effective.connections)
    with Progress("testing the connections") as progress:
        if as_json_:
            report = run_checks(effective, names, Silent(progress))
        else:
            printer = Printer(progress)
            report = run_checks(effective, names, printer)
            printer.verdict(report)
    if as_json_:
        click.echo(json.dumps(as_json(report), indent=2, ensure_ascii=False))
    sys.exit(0 if report.ok else FAILED)
