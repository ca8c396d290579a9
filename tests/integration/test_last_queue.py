"""The last queue of a connection goes away."""

from __future__ import annotations

from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch


def queues(watch: Watch, clock: StoppedClock) -> set[str]:
    """The queues on the page after the next discovery."""
    clock.move(60)
    samples = watch.discover_and_poll()
    return {dict(labels)["queue"] for name, labels in samples if name == "bullmq_queue_paused"}


def test_a_lone_stalled_check(any_server: Server, clock: StoppedClock) -> None:
    client = any_server.client()
    client.set("bull:mail:stalled-check", 1)
    watch = Watch(any_server.url)
    assert queues(watch, clock) == {"mail"}
    client.delete("bull:mail:stalled-check")
    for _ in range(3):
        left = queues(watch, clock)
    assert left == set()


def test_a_flush_and_a_new_queue(any_server: Server, clock: StoppedClock) -> None:
    client = any_server.client()
    add_queues(client, "a", "b")
    watch = Watch(any_server.url)
    assert queues(watch, clock) == {"a", "b"}
    client.flushall()
    assert queues(watch, clock) == set()
    add_queues(client, "c")
    assert queues(watch, clock) == {"c"}
