"""The commands: their arguments, what they run, and how they end."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from exporter.app import App
from exporter.check import Printer, as_json, run_checks
from exporter.cli import complete
from exporter.cli.help_text import COMMAND_HELP, GROUP
from exporter.cli.version import print_version
from exporter.config import Config, ConfigError, load, show
from exporter.demo.scenarios import SCENARIOS
from exporter.log import set_up
from exporter.progress import Progress
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
from exporter.views.overview import Overview
from exporter.views.queues_table import choose, table
from exporter.views.sorting import SORTS
from exporter.web import ListenError

CONFIG_ERROR = 2
FAILED = 1

_config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    envvar="BULLMQ_EXPORTER_CONFIG",
    show_envvar=True,
    help="The YAML configuration. Without it, REDIS_URL and REDIS_URL_<NAME> are used.",
)
_listen_option = click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where to serve; wins over the environment's PORT and the configuration.",
)


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


@main.command(epilog=COMMAND_HELP["run"].epilog)
@_config_option
@_listen_option
@click.option(
    "--once", is_flag=True, help="Poll once, print the page and exit; 1 if a Redis is down."
)
def run(path: Path | None, listen: str | None, *, once: bool) -> None:
    """Watch the queues and serve /metrics."""
    app = App(_load(path, listen), lambda: load(path, os.environ, listen))
    if once:
        with Progress("reading every queue"):
            page, reached = app.page_once()
        click.echo(page, nl=False)
        sys.exit(0 if reached else FAILED)
    try:
        app.run()
    except ListenError as error:
        _fail(str(error), FAILED)


@main.command(
    short_help="Show the queues, and why nothing moves.", epilog=COMMAND_HELP["queues"].epilog
)
@_config_option
@click.option("--once", is_flag=True, help="Watch for a second, print the table once and exit.")
@click.option("--watch", is_flag=True, help="Print it anew at every poll; what a terminal gets.")
@click.option("--json", "json_", is_flag=True, help="One JSON object a print instead of a table.")
@click.option("--sort", type=click.Choice(SORTS), default="name", show_default=True, help="Order.")
@click.option("--filter", "pattern", metavar="GLOB", default="*", help="Only these queues.")
@click.option("--blocked", is_flag=True, help="Only queues whose work is not moving.")
def queues(
    path: Path | None,
    sort: str,
    pattern: str,
    *,
    once: bool,
    watch: bool,
    json_: bool,
    blocked: bool,
) -> None:
    """Show the queues: jobs by state, how late they are, and why nothing moves."""
    effective = _load(path, None)
    logging.getLogger().setLevel(logging.WARNING)

    def show(found: Overview) -> None:
        views = choose(found, sort, pattern, blocked=blocked)
        if json_:
            click.echo(json.dumps(found.as_json(views), ensure_ascii=False))
            return
        for line, is_blocked in table(views):
            click.secho(line, fg="red" if is_blocked else None, color=_color())
        click.echo(f"\n{found.verdict}")

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
    """No colours where NO_COLOR asks for none; otherwise click leaves them out off a terminal."""
    return False if os.environ.get("NO_COLOR") else None


@main.command(epilog=COMMAND_HELP["check"].epilog)
@_config_option
@click.option(
    "--connection",
    metavar="NAME",
    shell_complete=complete.connections,
    help="Only this connection.",
)
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON object instead of a table.")
def check(path: Path | None, connection: str | None, *, as_json_: bool) -> None:
    """Test every connection, step by step, and every pair of them."""
    effective = _load(path, None)
    if connection is not None and connection not in effective.connections:
        known = ", ".join(effective.connections)
        _fail(f"no connection is called {connection}; there are: {known}", CONFIG_ERROR)
    names = [connection] if connection is not None else list(effective.connections)
    with Progress("testing the connections") as progress:

        def write(line: str) -> None:
            if not as_json_:
                with progress.quiet():
                    click.echo(line)

        printer = Printer(write, progress.says)
        report = run_checks(effective, names, printer)
        printer.verdict(report)
    if as_json_:
        click.echo(json.dumps(as_json(report), indent=2, ensure_ascii=False))
    sys.exit(0 if report.ok else FAILED)


@main.command(short_help="Print the configuration in force.", epilog=COMMAND_HELP["config"].epilog)
@_config_option
@_listen_option
@click.option("--check", is_flag=True, help="Only say whether the configuration is valid.")
def config(path: Path | None, listen: str | None, *, check: bool) -> None:
    """Print the configuration in force, with every default; secrets are masked."""
    effective = _load(path, listen)
    if check:
        click.echo(f"{path or 'the environment'} is valid")
    else:
        click.echo(show(effective), nl=False)


@main.command(epilog=COMMAND_HELP["rules"].epilog)
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
def rules(
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
    try:
        alerts = without(changed(ALERTS, changes), unwanted)
        options = Options(label_pairs(labels), label_names(keep), runbook_url, grafana_url)
    except RuleError as error:
        _fail(str(error), CONFIG_ERROR)
    if list_:
        click.echo(settings_table(alerts))
    elif format_ == "prometheus":
        click.echo(rules_file(alerts, options), nl=False)
    else:
        click.echo(prometheus_rule(alerts, options, name, namespace), nl=False)


_SCENARIOS = "\n".join(f"  {each.name:<11}{each.summary}" for each in SCENARIOS.values())


@main.command(
    short_help="Run it on embedded Valkeys with live BullMQ traffic.",
    epilog=f"\b\nScenarios:\n{_SCENARIOS}\n\n{COMMAND_HELP['demo'].epilog}",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:9538",
    show_default=True,
    help="Where to serve.",
)
@click.option(
    "--scenario",
    metavar="NAME",
    type=click.Choice(tuple(SCENARIOS)),
    default="healthy",
    show_default=True,
    help="What happens; they are listed below.",
)
@click.option(
    "--prometheus",
    is_flag=True,
    help="Also start a local Prometheus (where it is installed) with alert rules that fire soon.",
)
def demo(listen: str, scenario: str, *, prometheus: bool) -> None:
    """Run the exporter on embedded Valkeys with live BullMQ producers and workers."""
    try:
        from exporter.demo.prometheus import MissingProgramError
        from exporter.demo.run import run_demo
    except ImportError as error:
        _fail(f"{error.name} is missing; pip install 'bullmq-exporter[demo]'", FAILED)
    try:
        run_demo(listen, SCENARIOS[scenario], prometheus=prometheus)
    except (ListenError, MissingProgramError) as error:
        _fail(str(error), FAILED)


def _load(path: Path | None, listen: str | None) -> Config:
    try:
        loaded = load(path, os.environ, listen)
    except ConfigError as error:
        _fail(str(error), CONFIG_ERROR)
    set_up(loaded.log.level, loaded.log.format)
    return loaded


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"bullmq-exporter: {text}", err=True)
    sys.exit(code)
