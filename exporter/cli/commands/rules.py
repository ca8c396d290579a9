"""`bullmq-exporter rules`: alert and recording rules."""

from __future__ import annotations

import click

from exporter.cli import complete
from exporter.cli.commands.shared import CONFIG_ERROR, fail
from exporter.cli.help_text import COMMAND_HELP


@click.command("rules", epilog=COMMAND_HELP["rules"].epilog)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("prometheus", "prometheusrule")),
    default="prometheus",
    show_default=True,
    help="A rules file, or a PrometheusRule for the Prometheus operator.",
)
@click.option("--list", "list_", is_flag=True, help="Show the alerts and what can be set.")
@click.option(
    "--set",
    "changes",
    metavar="ALERT.SETTING=VALUE",
    multiple=True,
    shell_complete=complete.changes,
    help="Another number or severity: NoWorkers.for=10m. May be repeated, as all that follow.",
)
@click.option(
    "--without",
    "unwanted",
    metavar="ALERT",
    multiple=True,
    shell_complete=complete.alerts,
    help="Leave this alert out.",
)
@click.option("--label", "labels", metavar="NAME=VALUE", multiple=True, help="Add to every alert.")
@click.option(
    "--keep-label",
    "keep",
    metavar="NAME",
    multiple=True,
    help="A target label that tells queues apart besides job, as namespace.",
)
@click.option(
    "--runbook-url",
    default="docs/runbook.md",
    show_default=True,
    metavar="URL",
    help="Of the runbook.",
)
@click.option("--grafana-url", default="", metavar="URL", help="Put before dashboard links.")
@click.option("--name", default="bullmq-exporter", show_default=True, help="Of the PrometheusRule.")
@click.option("--namespace", help="Of the PrometheusRule.")
def command(
    format_: str,
    changes: tuple[str, ...],
    unwanted: tuple[str, ...],
    labels: tuple[str, ...],
    keep: tuple[str, ...],
    runbook_url: str,
    grafana_url: str,
    name: str,
    namespace: str | None,
    *,
    list_: bool,
) -> None:
    """Print the alert rules for Prometheus, with your own thresholds."""
    from exporter.rules import (
        ALERTS,
        Options,
        RuleError,
        changed,
        label_names,
        label_pairs,
        prometheus_rule,
        rules_file,
        settings_table,
        without,
    )

    try:
        alerts = without(changed(ALERTS, changes), unwanted)
        options = Options(label_pairs(labels), label_names(keep), runbook_url, grafana_url)
    except RuleError as error:
        fail(str(error), CONFIG_ERROR)
    if list_:
        click.echo(settings_table(alerts))
    elif format_ == "prometheus":
        click.echo(rules_file(alerts, options), nl=False)
    else:
        click.echo(prometheus_rule(alerts, options, name, namespace), nl=False)
