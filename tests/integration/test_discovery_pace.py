"""The pace of discovery: a share of Redis' time, and passes that do not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from exporter.collectors import Discovery
from exporter.config.models import Queues
from exporter.connection import ClientRegistry
from exporter.polling.discovery_pacer import DiscoveryPacer
from exporter.polling.recorder import Recorder
from tests.support.pages import value
from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch, config_for

KEYS = 20_000
SHARE = 0.01
ROUNDING = 1e-6


class Pauses(threading.Event):
    """A stop event during whose waits only the test's clock passes."""

    def __init__(self, clock: StoppedClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.move(timeout)
        return False


Pass = Callable[[], float]
"""Runs a pass; returns how long it took, in seconds of the test's clock."""


@pytest.fixture
def pacer(server: Server, clock: StoppedClock) -> DiscoveryPacer:
    client = server.client()
    client.mset({f"cache:{n}": n for n in range(KEYS)})
    add_queues(client, "mail")
    options = Queues(discovery_batch=100, discovery_redis_share=SHARE, discovery_interval_seconds=1)
    redis = ClientRegistry().get(config_for(server.url).connections["default"], "default")
    redis.connect()
    return DiscoveryPacer(Discovery(options), redis, Recorder("default"), options)


@pytest.fixture
def run(pacer: DiscoveryPacer, clock: StoppedClock) -> Pass:
    def run() -> float:
        start = time.monotonic()
        pacer.advance(start + 1000, Pauses(clock))
        return time.monotonic() - start

    return run


def test_the_first_pass_does_not_wait(run: Pass) -> None:
    assert run() < 1


def test_later_passes_take_their_share(
    pacer: DiscoveryPacer, run: Pass, clock: StoppedClock
) -> None:
    start = time.monotonic()
    run()
    assert not pacer.due, "the first pass has used up the share of a while"
    while not pacer.due:
        clock.move(0.1)
    for _ in range(3):
        before, took = pacer.redis_seconds, run()
        # the last page has no pause
        assert pacer.redis_seconds - before == pytest.approx(KEYS / 1e6, rel=0.2)
        share = (pacer.redis_seconds - before - 100e-6) / took
        assert share <= SHARE * (1 + ROUNDING)
        while not pacer.due:
            clock.move(0.1)
    passes = 4
    assert pacer.redis_seconds == pytest.approx(passes * KEYS / 1e6, rel=0.2)
    assert pacer.redis_seconds / (time.monotonic() - start) <= SHARE


def test_a_requested_pass_starts_at_once_and_does_not_wait(
    pacer: DiscoveryPacer, run: Pass, clock: StoppedClock
) -> None:
    run()
    pacer.request()
    assert pacer.due
    assert run() < 1
    clock.move(1000)
    assert run() > 1, "the next one waits again"


def test_polling_once_never_omits_the_pass(server: Server) -> None:
    """However much of Redis' time the pass before took: a slow machine makes it take more."""
    watch = Watch(server.url, discovery_redis_share=1e-6, discovery_interval_seconds=1)
    watch.discover_and_poll()
    add_queues(server.client(), "mail")
    assert value(watch.discover_and_poll(), "bullmq_exporter_queues") == 1
