"""The exporter and BullMQ's own exporter as processes that work on command."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

NODE_MODULES: Final = Path(__file__).parent.parent / "tests/e2e/node/node_modules"
INSTALL_HINT: Final = "npm ci --prefix tests/e2e/node"
_TICK: Final = os.sysconf("SC_CLK_TCK")


class Commanded:
    """A process that does what a line on its stdin asks for, and replies with a line of JSON."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, command: str) -> dict[str, float]:
        """The reply to a command. Raises `SystemExit` if the process has ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{command}\n")
        stdin.flush()
        if not (line := stdout.readline()):
            raise SystemExit(f"{self._process.args!r} ended")
        found: dict[str, Any] = json.loads(line)
        return found

    @property
    def resident_mb(self) -> float:
        """The process' resident memory, in megabytes."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.wait()


class CommandedExporter(Commanded):
    """The exporter, whose polls happen on command; see `benchmarks.instrumented`."""

    def __init__(self, port: int, interval: float, folder: Path) -> None:
        """`folder` is for its configuration."""
        config = folder / "config.yaml"
        config.write_text(
            f"connections:\n  default:\n    url: redis://127.0.0.1:{port}/0\n"
            "sync:\n  enabled: false\n"
            "log:\n  level: warning\n"
            # it does not poll while others are measured
            f"poll:\n  interval_seconds: {interval}\n  stale_after_seconds: 3600\n"
        )
        listen = free_address()
        self._address = f"http://{listen}"
        super().__init__([sys.executable, "-m", "benchmarks.instrumented", str(config), listen])

    def scrape(self) -> bytes:
        """The page as Prometheus requests it, compressed."""
        return _read(scrape_request(f"{self._address}/metrics"))

    def value(self, name: str) -> float:
        """The value of a family with one sample, in a page that was just scraped."""
        page = gzip.decompress(self.scrape()).decode()
        found = re.search(rf"^{name}{{.*}} (\S+)$", page, re.MULTILINE)
        return float("nan") if found is None else float(found[1])

    def slowest_healthy_ms(self, requests: int) -> tuple[float, int]:
        """The slowest `/-/healthy`, while that many requests at once ask for all queues, and how
        many of these failed."""
        with ThreadPoolExecutor(requests) as pool:
            running = [
                pool.submit(_read, urllib.request.Request(f"{self._address}/health/queues"))
                for _ in range(requests)
            ]
            slowest = 0.0
            while not all(each.done() for each in running):
                start = time.perf_counter()
                # 503, because the poller waits for a command, is a reply as well
                with contextlib.suppress(urllib.error.HTTPError):
                    _read(urllib.request.Request(f"{self._address}/-/healthy"))
                slowest = max(slowest, time.perf_counter() - start)
                time.sleep(0.01)
        failed = sum(isinstance(each.exception(), OSError) for each in running)
        return slowest * 1000, failed


@contextlib.contextmanager
def commanded_exporter(port: int, interval: float) -> Iterator[CommandedExporter]:
    """Run the exporter until the context ends."""
    with tempfile.TemporaryDirectory() as folder:
        exporter = CommandedExporter(port, interval, Path(folder))
        try:
            yield exporter
        finally:
            exporter.stop()


@contextlib.contextmanager
def bullmq_exporter(port: int) -> Iterator[Commanded | None]:
    """Run BullMQ's own exporter until the context ends; None if it is not installed."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "bullmq").is_dir():
        yield None
        return
    script = Path(__file__).with_name("bullmq_exporter.mjs")
    peer = Commanded([node, str(script), str(NODE_MODULES.parent), str(port)])
    try:
        yield peer
    finally:
        peer.stop()


def scrape_request(address: str) -> urllib.request.Request:
    """The request that Prometheus sends."""
    accept = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
    return urllib.request.Request(address, headers=accept)


def _read(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request) as response:
        body: bytes = response.read()
    return body


def free_address() -> str:
    """A local host and port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


def cpu_seconds(pid: int) -> float:
    """The CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
