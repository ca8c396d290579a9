"""Clocks that jump by hours, forward and back; monotonic time is unaffected."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.support.clock import Clock
from tests.support.daemon import Daemon
from tests.support.fault_harness import Harness, harness
from tests.support.live import Written
from tests.support.pages import value
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

HOUR = 3600
TIME = "bullmq_exporter_collector_last_success_timestamp_seconds"


def clock_offset(found: Harness) -> float:
    """Seconds by which the exporter's clock is ahead, according to its last poll."""
    return (value(found.samples, TIME, collector="queues") or 0) - time.time()


JUMPS = (HOUR, -2 * HOUR)


def test_the_exporters_clock_jumps(tmp_path: Path, idle: Daemon) -> None:
    """Intervals, ages and back-offs use monotonic time or the clock of Redis."""
    clock = Clock(tmp_path / "clock")
    env = clock.of_an_exporter
    with valkey() as server, harness(tmp_path, idle, server, Written(server), **env) as found:
        for seconds in JUMPS:
            with found.fault(f"clock of the exporter {seconds:+d} s"):
                clock.jump(seconds)
                wait_for(lambda s=seconds: abs(clock_offset(found) - s) < 60, "it has jumped")
                done = found.live.completed
                wait_for(lambda n=done: found.completed(found.last) >= n, "polls")
                clock.jump(0)
        found.end()


def offset(server: Server) -> float:
    """How far the clock of Redis is ahead of the true time."""
    return float(server.client().time()[0] - time.time())


def test_the_clock_of_redis_jumps(tmp_path: Path, idle: Daemon) -> None:
    """Stream IDs never decrease, and no duration is negative."""
    clock = Clock(tmp_path / "clock")
    env = os.environ | clock.of_a_server
    with valkey(env=env) as server, harness(tmp_path, idle, server, Written(server)) as found:
        for seconds in JUMPS:
            with found.fault(f"clock of Redis {seconds:+d} s"):
                clock.jump(seconds)
                wait_for(lambda s=seconds: abs(offset(server) - s) < 60, "it has jumped")
                done = found.live.completed
                wait_for(lambda n=done: found.completed(found.last) > n, "polls")
                samples = found.samples.items()
                assert not [k for k, v in samples if k[0].startswith("bullmq_") and v < 0]
                clock.jump(0)
        found.end()
