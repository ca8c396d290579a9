"""The exporter as a process: memory, idle CPU, the time to the first complete page, and pages."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.browser import browser_lines, scale_lines
from benchmarks.data import fill, names
from benchmarks.server import private_redis
from benchmarks.table import Line

_TICK = os.sysconf("SC_CLK_TCK")


def process_lines(queues: int, seconds: float, rounds: int) -> list[Line]:
    """Measure with `queues` queues, and idle CPU with 100 queues."""
    with private_redis() as port:
        fill(port, queues)
        with _running(port) as (pid, address, started):
            _wait_for_page(address, queues)
            first_page = time.monotonic() - started
            time.sleep(seconds)
            memory = _resident_mb(pid)
            origin = address.removesuffix("/metrics")
            pages = scale_lines(origin, names(queues)) + browser_lines(origin, queues, rounds)
    with private_redis() as port:
        fill(port, 100)
        with _running(port) as (pid, address, _):
            _wait_for_page(address, 100)
            before, start = _cpu_seconds(pid), time.monotonic()
            time.sleep(seconds)
            idle = (_cpu_seconds(pid) - before) / (time.monotonic() - start)
    return [
        Line(f"start to the first complete page, {queues:,} queues", first_page, "s", 3),
        Line(f"resident memory, {queues:,} queues, events on", memory, "MB", 150),
        Line("CPU with 100 queues at rest", idle * 100, "%", 1),
        *pages,
    ]


@contextlib.contextmanager
def _running(port: int) -> Iterator[tuple[int, str, float]]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listen = f"127.0.0.1:{sock.getsockname()[1]}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("REDIS_URL")}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "run", "--listen", listen],
        env=env | {"REDIS_URL": f"redis://127.0.0.1:{port}/0"},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid, f"http://{listen}/metrics", started
    finally:
        process.terminate()
        process.wait()


def _wait_for_page(address: str, queues: int) -> None:
    """Wait until every queue is on the page."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(_request(address)) as response:
            page = gzip.decompress(response.read())
            if page.count(b"\nbullmq_queue_paused{") == queues:
                return
        time.sleep(0.05)
    raise SystemExit(f"the exporter did not show {queues} queues within two minutes")


def _request(address: str) -> urllib.request.Request:
    """The request that Prometheus sends."""
    accept = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
    return urllib.request.Request(address, headers=accept)


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
