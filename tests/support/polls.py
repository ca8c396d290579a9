"""Waits for polls, counted by the exporter itself."""

from __future__ import annotations

import re

from tests.support.daemon import Daemon
from tests.support.waiting import wait_for

_PINGS = re.compile(r'^bullmq_connection_ping_seconds_count\{connection="(.*)"\} (\d+)$', re.M)


def polls(running: Daemon) -> dict[str, int]:
    """Number of PINGs by connection; each poll sends one."""
    # not `parse`: with many connections, parsing the page takes longer than rendering it
    return {name: int(count) for name, count in _PINGS.findall(running.get("/metrics").text)}


def wait_for_polls(running: Daemon, connection: str, number: int = 2) -> None:
    """Wait for polls that end from now on; the second of two also starts from now on."""
    before = polls(running)[connection]
    wait_for(
        lambda: polls(running)[connection] >= before + number,
        f"{number} polls of {connection}",
    )
