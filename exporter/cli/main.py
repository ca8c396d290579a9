"""The command line's entry point."""

from __future__ import annotations

import click

from exporter.cli.commands import check, config, demo, queues, rules, run, top
from exporter.cli.help_text import GROUP
from exporter.cli.version import print_version


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=GROUP)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the versions of the exporter, Python and libraries, and exit.",
)
def main() -> None:
    """Export BullMQ metrics to Prometheus: jobs by state, how long they wait, and why.

    The exporter only reads queues. All settings have defaults; set them in a YAML file (--config)
    or in the environment: REDIS_URL, REDIS_URL_<NAME>, PORT, BULLMQ_<SETTING>.
    """


for module in (run, top, queues, check, config, rules, demo):
    main.add_command(module.command)
