"""Sizes that anyone with access to Redis can choose: each is bounded, and each bound is counted."""

from __future__ import annotations

from tests.support.pages import value
from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.watch import Watch

OVERSIZED = "bullmq_exporter_collector_oversized_total"


def test_a_long_client_name(server: Server) -> None:
    """A worker is counted next to a client whose name consists of suffixes."""
    add_queues(server.client(), "mail")
    worker, other = server.client(), server.client()
    worker.client_setname("bull:mail:w:a")
    other.client_setname("bull:mail" + ":w:" * 10_000)
    watch = Watch(server.url)
    samples = watch.discover_and_poll()
    assert value(samples, "bullmq_queue_workers", queue="mail") == 1
    # one of each poll: one before the queue was found, one after
    assert value(samples, OVERSIZED, collector="workers") == 2
    assert value(samples, OVERSIZED, collector="queues") == 0
