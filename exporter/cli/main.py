"""The command line's entry point."""

from __future__ import annotations

import click

from exporter.cli.commands import check, config, demo, queues, rules, run
from exporter.cli.help_text import GROUP
from exporter.cli.version import print_version


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=GROUP)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the versions of this, of Python and of libraries, and exit.",
)
def main() -> None:
    """Tell Prometheus what waits in BullMQ queues, how late it is, and why nothing moves.

    Queues are only read. Everything has a default; a configuration is a YAML file (--config) or
    the environment: REDIS_URL, REDIS_URL_<NAME>, PORT.
    """


for module in (run, queues, check, config, rules, demo):
    main.add_command(module.command)
