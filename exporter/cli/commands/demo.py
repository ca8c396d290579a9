"""`bullmq-exporter demo`: the exporter on embedded servers with live traffic."""

from __future__ import annotations

import click

from exporter.cli.commands.shared import FAILED, fail
from exporter.cli.help_text import COMMAND_HELP
from exporter.demo.scenarios import SCENARIOS

_SCENARIOS = "\n".join(f"  {each.name:<11}{each.summary}" for each in SCENARIOS.values())


@click.command(
    "demo",
    short_help="Run the exporter on embedded Valkey with live traffic.",
    epilog=f"\b\nScenarios:\n{_SCENARIOS}\n\n{COMMAND_HELP['demo'].epilog}",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:9538",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--scenario",
    metavar="NAME",
    type=click.Choice(tuple(SCENARIOS)),
    default="healthy",
    show_default=True,
    help="Scenario to run; listed below.",
)
@click.option(
    "--prometheus",
    is_flag=True,
    help="Also start a local Prometheus, which must be installed, with alerts that fire early, and "
    "Alertmanager if it is installed.",
)
def command(listen: str, scenario: str, *, prometheus: bool) -> None:
    """Run the exporter on embedded Valkey servers with live BullMQ producers and workers."""
    from exporter.web import ListenError

    try:
        from exporter.demo.prometheus import MissingProgramError
        from exporter.demo.run import run_demo
    except ImportError as error:
        fail(f"{error.name} is missing; run pip install 'bullmq-exporter[demo]'", FAILED)
    try:
        run_demo(listen, SCENARIOS[scenario], prometheus=prometheus)
    except (ListenError, MissingProgramError) as error:
        fail(str(error), FAILED)
