"""The exporter as users start it: the time to the first complete page, idle CPU, and pages."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from benchmarks.browser import browser_lines, scale_lines
from benchmarks.data import fill, names
from benchmarks.processes import cpu_seconds, free_address, scrape_request
from benchmarks.server import private_redis
from benchmarks.table import Line


def process_lines(queues: int, seconds: float, rounds: int) -> list[Line]:
    """Measure the start and pages with `queues` queues, and idle CPU with 100 for `seconds`."""
    with private_redis() as port:
        fill(port, queues)
        with _running(port) as (_, address, started):
            _wait_for_page(address, queues)
            first_page = time.monotonic() - started
            origin = address.removesuffix("/metrics")
            pages = scale_lines(origin, names(queues), rounds)
            pages += browser_lines(origin, queues, rounds)
    with private_redis() as port:
        fill(port, 100)
        with _running(port) as (pid, address, _):
            _wait_for_page(address, 100)
            before, start = cpu_seconds(pid), time.monotonic()
            time.sleep(seconds)
            idle = (cpu_seconds(pid) - before) / (time.monotonic() - start)
    return [
        Line(f"start to the first complete page, {queues:,} queues", first_page, "s", 3),
        Line("CPU with 100 queues at rest", idle * 100, "%", 1),
        *pages,
    ]


@contextlib.contextmanager
def _running(port: int) -> Iterator[tuple[int, str, float]]:
    listen = free_address()
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
    deadline, request = time.monotonic() + 120, scrape_request(address)
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(request) as response,
        ):
            page = gzip.decompress(response.read())
            if page.count(b"\nbullmq_queue_paused{") == queues:
                return
        time.sleep(0.05)
    raise SystemExit(f"the exporter did not show {queues} queues within two minutes")
