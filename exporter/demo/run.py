"""Runs the demo: embedded Valkey servers, live BullMQ traffic, and the exporter."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from exporter.app import App
from exporter.config.models import Config
from exporter.demo.parts import Parts, started_parts
from exporter.demo.prometheus import local_prometheus
from exporter.demo.scenarios import PRODUCERS, Outages, Scenario
from exporter.demo.servers import embedded_server, outages, url_of
from exporter.log import set_up
from exporter.terminal.progress import Progress
from exporter.web.endpoints import ENDPOINTS

# shorter than in production, so that effects show soon
_OPTIONS: Final = {
    "poll": {"interval_seconds": 2.0, "blocked_after_seconds": 6.0},
    "queues": {"discovery_interval_seconds": 2.0},
    "events": {"job_names": True, "failure_classes": True},
    "sync": {"interval_seconds": 5.0},
}
_STOP_SECONDS: Final = 1.0


def run_demo(listen: str, scenario: Scenario, *, prometheus: bool) -> None:
    """Run until Ctrl-C or SIGTERM. Raises `ListenError` and `MissingProgramError`."""
    with started_parts() as parts:
        with Progress("starting servers, producers and workers"):
            config, welcome = _start(parts, listen, scenario, prometheus=prometheus)
        click.echo(welcome)
        App(config).run()


def _start(
    parts: Parts, listen: str, scenario: Scenario, *, prometheus: bool
) -> tuple[Config, str]:
    """Start everything except the exporter. Returns its configuration and the welcome text."""
    servers = {name: parts.start(embedded_server()) for name in scenario.connections}
    urls = {name: url_of(server) for name, server in servers.items()}
    config = Config.model_validate(
        {
            "listen": listen,
            "connections": {name: {"url": url} for name, url in urls.items()},
            **_OPTIONS,
        }
    )
    set_up(config.log.level, config.log.format)
    parts.start(_traffic(scenario, urls))
    if isinstance(scenario.fault, Outages):
        parts.start(outages(servers[scenario.connections[0]], scenario.fault))
    pages: dict[str, str] = {}
    if prometheus:
        pages = parts.start(local_prometheus({"bullmq": _reachable(config.listen)}))
    parts.all_started()
    return config, _welcome(scenario, config.listen, urls, pages)


@contextlib.contextmanager
def _traffic(scenario: Scenario, urls: Mapping[str, str]) -> Iterator[None]:
    """Run producers and workers in separate processes, as in production."""
    producers_url, workers_url = urls[scenario.connections[0]], urls[scenario.connections[-1]]
    workers = dict.fromkeys(load.worker for load in scenario.loads)
    process_urls = {PRODUCERS: producers_url} | dict.fromkeys(workers, workers_url)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for part, url in process_urls.items():
            command = [sys.executable, "-m", "exporter.demo.traffic", scenario.name, part, url]
            # sessions of their own, so that Ctrl-C reaches only the demo, which then stops them
            processes.append(subprocess.Popen(command, start_new_session=True))
        yield
    finally:
        _stop(processes)


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
        # a frozen process handles SIGTERM only after SIGCONT
        process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _reachable(listen: str) -> str:
    """The listening address as this machine reaches it."""
    host, _, port = listen.rpartition(":")
    return f"{host if host not in ('', '0.0.0.0', '[::]') else 'localhost'}:{port}"


_SHOWN: Final = [
    each for each in ENDPOINTS if not (each.path.startswith("/-/") or each.needs_queue)
]
_PATH_WIDTH: Final = max(len(each.path) for each in _SHOWN)


def _welcome(
    scenario: Scenario, listen: str, urls: Mapping[str, str], pages: Mapping[str, str]
) -> str:
    base = f"http://{_reachable(listen)}"
    prometheus_pages = "".join(f"\n  {name}: {url}" for name, url in pages.items())
    if pages:
        prometheus_pages += (
            "\n  Alerts fire within a minute, twenty times earlier than in production.\n"
        )
    exporter_pages = "\n".join(
        f"  {base}{each.path:{_PATH_WIDTH}}  {each.summary}" for each in _SHOWN
    )
    servers = ", ".join(f"{name} {url}" for name, url in urls.items())
    variables = " ".join(f"{_variable(name)}={url}" for name, url in urls.items())
    symptoms = "\n    ".join(scenario.symptoms)
    return f"""
  {scenario.name}: {scenario.summary}.

  What to look for
    {symptoms}

{exporter_pages}
{prometheus_pages}
  BullMQ queues {", ".join(load.queue for load in scenario.loads)}
  on {servers}

  The same in another terminal
  {variables} {_program()} top

  Ctrl-C stops everything and removes all data.
"""


def _program() -> str:
    """What starts the exporter in another terminal, where no environment may be active."""
    name = "bullmq-exporter"
    return name if shutil.which(name) else f"{shlex.quote(sys.executable)} -m exporter"


def _variable(connection: str) -> str:
    """The environment variable that makes a connection of this name."""
    return "REDIS_URL" + ("" if connection == "default" else f"_{connection.upper()}")
