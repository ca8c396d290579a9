"""The product on its own: embedded Valkeys, live BullMQ traffic, and the exporter on both."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from exporter.app import App
from exporter.config.models import Config
from exporter.demo.parts import Parts, parts_in_order
from exporter.demo.prometheus import local_prometheus
from exporter.demo.scenarios import PRODUCERS, Outages, Scenario
from exporter.demo.servers import embedded_server, outages, url_of
from exporter.log import set_up
from exporter.progress import Progress
from exporter.web.endpoints import ENDPOINTS

# shorter than in production, since people watch
_OPTIONS: Final = {
    "poll": {"interval_seconds": 2.0, "blocked_after_seconds": 6.0},
    "queues": {"discovery_interval_seconds": 2.0},
    "events": {"job_names": True},
    "sync": {"interval_seconds": 5.0},
}
_STOP_SECONDS: Final = 1.0


def run_demo(listen: str, scenario: Scenario, *, prometheus: bool) -> None:
    """Run until Ctrl-C or SIGTERM. Raises `ListenError` and `MissingProgramError`."""
    with parts_in_order() as parts:
        with Progress("starting servers, producers and workers"):
            config, welcome = _start(parts, listen, scenario, prometheus=prometheus)
        click.echo(welcome)
        App(config).run()


def _start(
    parts: Parts, listen: str, scenario: Scenario, *, prometheus: bool
) -> tuple[Config, str]:
    """All but the exporter; its configuration, and what to tell people."""
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
        pages = parts.start(local_prometheus(_reachable(config.listen)))
    parts.all_there()
    return config, _welcome(scenario, config.listen, urls, pages)


@contextlib.contextmanager
def _traffic(scenario: Scenario, urls: Mapping[str, str]) -> Iterator[None]:
    """Producers and workers in processes of their own, as they would be."""
    producers_url, workers_url = urls[scenario.connections[0]], urls[scenario.connections[-1]]
    workers = dict.fromkeys(load.worker for load in scenario.loads)
    plan = {PRODUCERS: producers_url} | dict.fromkeys(workers, workers_url)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for part, url in plan.items():
            command = [sys.executable, "-m", "exporter.demo.traffic", scenario.name, part, url]
            # Ctrl-C goes to us alone, and we stop them
            processes.append(subprocess.Popen(command, start_new_session=True))
        yield
    finally:
        _end(processes)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
        # one that is frozen takes it only when it goes on
        process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _reachable(listen: str) -> str:
    """From this machine."""
    host, _, port = listen.rpartition(":")
    return f"{host if host not in ('', '0.0.0.0', '[::]') else 'localhost'}:{port}"


_SHOWN: Final = [each for each in ENDPOINTS if not each.path.startswith("/-/")]
_PATH_WIDTH: Final = max(len(each.path) for each in _SHOWN)


def _welcome(
    scenario: Scenario, listen: str, urls: Mapping[str, str], pages: Mapping[str, str]
) -> str:
    base = f"http://{_reachable(listen)}"
    further = "".join(f"\n  {name}: {url}" for name, url in pages.items())
    if pages:
        further += "\n  Its alerts come within a minute, twenty times sooner than in production.\n"
    pages_of_exporter = "\n".join(
        f"  {base}{each.path:{_PATH_WIDTH}}  {each.summary}" for each in _SHOWN
    )
    where = ", ".join(f"{name} {url}" for name, url in urls.items())
    look = "\n    ".join(scenario.look)
    return f"""
  {scenario.name}: {scenario.summary}.

  Look for
    {look}

{pages_of_exporter}
{further}
  BullMQ queues {", ".join(load.queue for load in scenario.loads)}
  on {where}

  Ctrl-C stops everything and leaves nothing behind.
"""
