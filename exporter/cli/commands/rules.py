"""`bullmq-exporter rules`: alert and recording rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.cli import complete
from exporter.cli.commands.shared import CONFIG_ERROR, config_option, fail, loaded
from exporter.cli.help_text import COMMAND_HELP

if TYPE_CHECKING:
    from exporter.rules import Objective


@click.command("rules", epilog=COMMAND_HELP["rules"].epilog)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("prometheus", "prometheusrule", "grafana", "sloth", "openslo")),
    default="prometheus",
    show_default=True,
    help="Print a rules file, a PrometheusRule for the Prometheus operator, or alerts that Grafana "
    "manages; of the SLOs of the configuration, also a specification for Sloth or OpenSLO.",
)
@click.option(
    "--part",
    type=click.Choice(("all", "alerts", "recordings")),
    default="all",
    show_default=True,
    help="Print only the alerts, or only the recording rules, for the formats of Prometheus.",
)
@click.option("--slo", is_flag=True, help="Print only what is about SLOs.")
@config_option
@click.option("--list", "list_", is_flag=True, help="List the alerts and their settings.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML file with set, without, labels, keep_labels, runbook_url, grafana_url and "
    "status_url; options of the command line come on top.",
)
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
    metavar="URL",
    help="URL of the exporter, for links to the queue on its status page.",
)
@click.option("--grafana-url", metavar="URL", help="URL of Grafana, for dashboard links.")
@click.option(
    "--name",
    default="bullmq-exporter",
    show_default=True,
    help="Name of the PrometheusRule, or of the service that has the SLOs.",
)
@click.option("--namespace", help="Namespace of the PrometheusRule.")
@click.option(
    "--folder", default="BullMQ", show_default=True, help="Folder of the alerts in Grafana."
)
@click.option(
    "--datasource-uid",
    default="prometheus",
    show_default=True,
    metavar="UID",
    help="uid of the Prometheus data source in Grafana.",
)
def command(
    format_: str,
    part: str,
    settings_file: Path | None,
    changes: tuple[str, ...],
    unwanted: tuple[str, ...],
    labels: tuple[str, ...],
    keep: tuple[str, ...],
    runbook_url: str | None,
    status_url: str | None,
    grafana_url: str | None,
    name: str,
    namespace: str | None,
    folder: str,
    datasource_uid: str,
    path: Path | None,
    *,
    list_: bool,
    slo: bool,
) -> None:
    """Print alert and recording rules with your own thresholds."""
    from exporter.rules import (
        ALERTS,
        DEFAULT_RUNBOOK_URL,
        Options,
        Part,
        RuleError,
        about_slos,
        changed,
        grafana_rules,
        is_placeholder,
        label_names,
        label_pairs,
        load_settings,
        openslo,
        prometheus_rule,
        rules_file,
        settings_table,
        sloth,
        without,
    )

    try:
        settings = load_settings(settings_file)
        runbook_url = runbook_url or settings.runbook_url
        changed_alerts = changed(ALERTS, (*settings.changes, *changes))
        alerts = without(changed_alerts, {*settings.without, *unwanted})
        alerts = about_slos(alerts) if slo else alerts
        options = Options(
            label_pairs((*settings.labels, *labels)),
            label_names((*settings.keep_labels, *keep)),
            runbook_url or DEFAULT_RUNBOOK_URL,
            grafana_url or settings.grafana_url,
            status_url or settings.status_url,
            only_slos=slo,
            part=Part(part),
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
    elif format_ == "prometheusrule":
        click.echo(prometheus_rule(alerts, options, name, namespace), nl=False)
    elif format_ == "grafana":
        click.echo(grafana_rules(alerts, options, folder, datasource_uid), nl=False)
    elif format_ == "sloth":
        click.echo(sloth(_objectives(path), name, options.runbook_url), nl=False)
    else:
        click.echo(openslo(_objectives(path), name), nl=False)


def _objectives(path: Path | None) -> list[Objective]:
    """The SLOs of the configuration; exits with 2 if it is invalid, or has none."""
    from exporter.rules import Objective

    slos = loaded(path).slos
    if not slos:
        fail("the configuration has no slos; pass one that has any with --config", CONFIG_ERROR)
    return [
        Objective(
            slo.label, slo.match, slo.start_within is not None, slo.target_seconds, slo.objective
        )
        for slo in slos
    ]
