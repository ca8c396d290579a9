"""Waiting for polls by the exporter's own count of them."""

from __future__ import annotations

from tests.support.daemon import Daemon
from tests.support.pages import Samples, every
from tests.support.waiting import wait_for


def polls(samples: Samples) -> dict[str, float]:
    """How often each connection has been pinged, which each poll does once."""
    found = every(samples, "bullmq_connection_ping_seconds_count")
    return {dict(labels)["connection"]: count for (_, labels), count in found.items()}


def wait_for_polls(running: Daemon, connection: str, number: int = 2) -> None:
    """Of two polls that end from now on, the second has begun from now on as well."""
    before = polls(running.samples())[connection]
    wait_for(
        lambda: polls(running.samples())[connection] >= before + number,
        f"{number} polls of {connection}",
    )
