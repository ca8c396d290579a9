"""The last queue of a connection is removed."""

from __future__ import annotations

import pytest

from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch


def queues(watch: Watch, clock: StoppedClock) -> set[str]:
    """The queues on the page after the next discovery."""
    clock.move(1)
    samples = watch.discover_and_poll()
    return {dict(labels)["queue"] for name, labels in samples if name == "bullmq_queue_paused"}


@pytest.fixture
def watch(any_server: Server, clock: StoppedClock) -> Watch:
    return Watch(any_server.url, discovery_interval_seconds=1)


def test_discovery_drops_the_queue_first(
    any_server: Server, watch: Watch, clock: StoppedClock
) -> None:
    """The collector shows the queue until 75 s after `stalled-check` was last seen."""
    client = any_server.client()
    client.set("bull:mail:stalled-check", 1)
    assert queues(watch, clock) == {"mail"}
    client.delete("bull:mail:stalled-check")
    for _ in range(3):
        left = queues(watch, clock)
    assert left == set()
    add_queues(client, "other")
    assert queues(watch, clock) == {"other"}


def test_the_collector_drops_the_queue_first(any_server: Server, clock: StoppedClock) -> None:
    client = any_server.client()
    client.set("bull:mail:stalled-check", 1)
    watch = Watch(any_server.url, discovery_interval_seconds=1000)
    assert queues(watch, clock) == {"mail"}
    client.delete("bull:mail:stalled-check")
    clock.move(80)
    assert queues(watch, clock) == set()
    clock.move(1000)
    assert queues(watch, clock) == set()


def test_all_queues_are_flushed(any_server: Server, watch: Watch, clock: StoppedClock) -> None:
    client = any_server.client()
    add_queues(client, "a", "b")
    assert queues(watch, clock) == {"a", "b"}
    client.flushall()
    for _ in range(3):
        assert queues(watch, clock) == set()
    add_queues(client, "c")
    assert queues(watch, clock) == {"c"}
