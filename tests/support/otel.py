"""A service with BullMQ for Node and the library's own OpenTelemetry metrics."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence

from tests.support.requirements import node_modules
from tests.support.servers import Server, free_port


class Service:
    """Producers and workers in one process, and their `/metrics`."""

    def __init__(self, process: subprocess.Popen[str], port: int, metrics: Sequence[str]) -> None:
        self._process = process
        self.port = port
        self.metrics = metrics
        """The OpenTelemetry names of all metrics of BullMQ."""

    @property
    def page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text: str = answer.read().decode()
        return text

    def work(self, server: Server, queue: str, **jobs: int) -> None:
        """Add jobs by kind; see tests/e2e/node/otel.mjs. Returns when all have finished."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"port": server.port, "queue": queue, "jobs": jobs})
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextlib.contextmanager
def service() -> Iterator[Service]:
    """A running service, killed at the end."""
    port = free_port()
    process = subprocess.Popen(
        ["node", str(node_modules().parent / "otel.mjs"), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Service(process, port, json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
