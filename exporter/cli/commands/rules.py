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
    help="Print a rules file, or a PrometheusRule for the Prometheus operator.",
)
@click.option("--list", "list_", is_flag=True, help="List the alerts and their settings.")
@click.option(
    "--set",
    "changes",
    metavar="ALERT.SETTING=VALUE",
    multiple=True,
    shell_complete=complete.changes,
    help="Change a threshold, duration or severity, such as NoWorkers.for=10m. Repeatable.",
)
@click.option(
    "--without",
    "unwanted",
    metavar="ALERT",
    multiple=True,
    shell_complete=complete.alerts,
    help="Omit this alert. Repeatable.",
)
@click.option(
    "--label",
    "labels",
    metavar="NAME=VALUE",
    multiple=True,
    help="Add a label to every alert. Repeatable.",
)
@click.option(
    "--keep-label",
    "keep",
    metavar="NAME",
    multiple=True,
    help="Keep a target label besides job to distinguish queues, such as namespace. Repeatable.",
)
@click.option(
    "--runbook-url",
    metavar="URL",
    help="URL of the published runbook; without it, links have a placeholder.",
)
@click.option(
    "--status-url",
    default="",
    metavar="URL",
    help="URL of the exporter, for links to the queue on its status page.",
)
@click.option(
    "--grafana-url", default="", metavar="URL", help="URL of Grafana, for dashboard links."
)
@click.option(
    "--name", default="bullmq-exporter", show_default=True, help="Name of the PrometheusRule."
)
@click.option("--namespace", help="Namespace of the PrometheusRule.")
def command(
    format_: str,
    changes: tuple[str, ...],
    unwanted: tuple[str, ...],
    labels: tuple[str, ...],
    keep: tuple[str, ...],
    runbook_url: str | None,
    status_url: str,
    grafana_url: str,
    name: str,
    namespace: str | None,
    *,
    list_: bool,
) -> None:
    """Print alert and recording rules with your own thresholds."""
    from exporter.rules import (
        ALERTS,
        DEFAULT_RUNBOOK_URL,
        Options,
        RuleError,
        changed,
        is_placeholder,
        label_names,
        label_pairs,
        prometheus_rule,
        rules_file,
        settings_table,
        without,
    )

    try:
        alerts = without(changed(ALERTS, changes), unwanted)
        options = Options(
            label_pairs(labels),
            label_names(keep),
            runbook_url or DEFAULT_RUNBOOK_URL,
            grafana_url,
            status_url,
        )
    except RuleError as error:
        fail(str(error), CONFIG_ERROR)
    if not (list_ or runbook_url) and is_placeholder(DEFAULT_RUNBOOK_URL):
        click.echo(
            f"warning: runbook links begin with the placeholder {DEFAULT_RUNBOOK_URL}; set "
            "--runbook-url",
            err=True,
        )
    if list_:
        click.echo(settings_table(alerts))
    elif format_ == "prometheus":
        click.echo(rules_file(alerts, options), nl=False)
    else:
        click.echo(prometheus_rule(alerts, options, name, namespace), nl=False)
