"""The last queue of a connection goes away."""

from __future__ import annotations

from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch


def queues(watch: Watch) -> set[str]:
    """The queues on a page that is written after each poll, by one writer."""
    samples = watch.discover_and_poll()
    return {dict(labels)["queue"] for name, labels in samples if name == "bullmq_queue_paused"}


def test_a_lone_stalled_check(any_server: Server, clock: StoppedClock) -> None:
    client = any_server.client()
    client.set("bull:mail:stalled-check", 1)
    watch = Watch(any_server.url)
    assert queues(watch) == {"mail"}
    client.delete("bull:mail:stalled-check")
    for _ in range(10):
        clock.move(10)
        left = queues(watch)
    assert left == set()


def test_a_flush_and_a_new_queue(any_server: Server) -> None:
    client = any_server.client()
    add_queues(client, "a", "b")
    watch = Watch(any_server.url)
    assert queues(watch) == {"a", "b"}
    client.flushall()
    assert queues(watch) == set()
    add_queues(client, "c")
    assert queues(watch) == {"c"}
