"""What a poll costs, as counts that do not depend on the machine."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import Any

import redis

from benchmarks.data import fill
from exporter.collectors.queues import COUNTS
from tests.support.servers import Server
from tests.support.watch import Watch

QUEUES = 60
POLLS = 4


def sent(client: redis.Redis) -> tuple[int, int]:
    """(commands, bytes) that the server has received."""
    info: dict[str, Any] = client.info("stats")
    return info["total_commands_processed"], info["total_net_input_bytes"]


def watched(server: Server) -> Watch:
    """Queues that have work in every state, after a few polls."""
    fill(server.port, QUEUES)
    watch = Watch(server.url)
    watch.discover_and_poll()
    for _ in range(3):
        watch.poll_unseen()
    return watch


def test_commands_and_bytes(real_server: Server) -> None:
    watch = watched(real_server)
    client = real_server.client()
    before = sent(client)
    for _ in range(POLLS):
        watch.poll_unseen()
    commands, size = (now - then for now, then in zip(sent(client), before, strict=True))
    # the counts, the ends of two lists, three sets' firsts, the rate limit, a share of the settings
    assert commands / POLLS / QUEUES <= len(COUNTS) + 9.5
    assert size / commands <= 66


def test_what_a_poll_leaves_in_memory(real_server: Server) -> None:
    """Nothing, with its page: a table replaces the one before."""
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


def test_what_a_poll_takes_meanwhile(real_server: Server) -> None:
    """At rest: replies and columns, no object for each row of each fact."""
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
