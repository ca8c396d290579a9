"""The cost of a poll, in counts that do not depend on the machine."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import Any

import pytest
import redis

from benchmarks.data import fill
from benchmarks.job_reports import JobReports
from exporter.collectors.queues import COUNTS
from tests.support.servers import Server
from tests.support.watch import Watch

QUEUES = 60
POLLS = 4


def sent(client: redis.Redis) -> tuple[int, int]:
    """The numbers of commands and bytes that the server has received."""
    info: dict[str, Any] = client.info("stats")
    return info["total_commands_processed"], info["total_net_input_bytes"]


def watched(server: Server) -> Watch:
    """A watch on queues with jobs in every state, after a few polls."""
    fill(server.port, QUEUES)
    watch = Watch(server.url)
    watch.discover_and_poll()
    for _ in range(3):
        watch.poll_unseen()
    return watch


def test_commands_and_bytes_per_queue(real_server: Server) -> None:
    watch = watched(real_server)
    client = real_server.client()
    before = sent(client)
    for _ in range(POLLS):
        watch.poll_unseen()
    commands, size = (now - then for now, then in zip(sent(client), before, strict=True))
    # counts, ends of two lists, first entries of three sets, rate limit, a share of the settings,
    # and of a quarter of the queues a parent with a child
    assert commands / POLLS / QUEUES <= len(COUNTS) + 10.5
    assert size / commands <= 66


@pytest.mark.parametrize("changed", [False, True], ids=["at rest", "changed"])
def test_naming_jobs_is_cheap(real_server: Server, *, changed: bool) -> None:
    """Stuck and lost jobs, why jobs fail, dead letters: hardly more than the poll itself."""
    fill(real_server.port, QUEUES)
    client = real_server.client()
    reports = JobReports(real_server.port, QUEUES)
    cost: dict[bool, tuple[int, int]] = {}
    counts: dict[bool, int] = {}
    try:
        for _ in range(3):  # until the audit has settled what was before its first look
            reports.prepare(on=True, changed=True)
            reports.poll(on=True)
        for on in (True, False):
            total, size, counted = 0, 0, 0
            for _ in range(POLLS):
                reports.prepare(on=on, changed=changed)
                before, listed = sent(client), length_commands(client)
                reports.poll(on=on)
                counted += length_commands(client) - listed
                commands, received = (
                    now - then for now, then in zip(sent(client), before, strict=True)
                )
                total, size = total + commands, size + received
            cost[on], counts[on] = (total, size), counted
    finally:
        reports.close()
    assert counts[True] == counts[False], "the audit counts nothing again"
    for with_names, without in zip(cost[True], cost[False], strict=True):
        assert with_names / without <= 1.08


def length_commands(client: redis.Redis) -> int:
    """How many of the commands that count jobs the server has run."""
    stats: dict[str, Any] = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("llen", "zcard"))


def test_memory_does_not_grow_from_poll_to_poll(real_server: Server) -> None:
    """Each poll's table and page replace the previous ones."""
    watch = watched(real_server)
    show(watch, 10)
    gc.collect()
    before = sys.getallocatedblocks()
    show(watch, 10 * POLLS)
    gc.collect()
    assert sys.getallocatedblocks() - before < QUEUES


def show(watch: Watch, polls: int) -> None:
    for _ in range(polls):
        watch.poll_unseen()
        assert watch.page


def test_peak_memory_of_a_poll_is_limited(real_server: Server) -> None:
    """On idle queues: replies and columns, but no object per row and fact."""
    watch = watched(real_server)
    tracemalloc.start()
    try:
        watch.poll_unseen()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        watch.poll_unseen()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak / QUEUES < 3000
