"""Waiting for polls by the exporter's own count of them."""

from __future__ import annotations

import re

from tests.support.daemon import Daemon
from tests.support.waiting import wait_for

_PINGS = re.compile(r'^bullmq_connection_ping_seconds_count\{connection="(.*)"\} (\d+)$', re.M)


def polls(running: Daemon) -> dict[str, int]:
    """How often each connection has been pinged, which each poll does once."""
    # by hand: with many connections, to parse the whole page takes longer than to make it
    return {name: int(count) for name, count in _PINGS.findall(running.get("/metrics").text)}


def wait_for_polls(running: Daemon, connection: str, number: int = 2) -> None:
    """Of two polls that end from now on, the second has begun from now on as well."""
    before = polls(running)[connection]
    wait_for(
        lambda: polls(running)[connection] >= before + number,
        f"{number} polls of {connection}",
    )
