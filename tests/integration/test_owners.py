"""Two connections to one keyspace, while the first is lost and returns."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from exporter.collectors import collectors_for
from exporter.config.models import Config
from exporter.config.url import parse_url
from exporter.connection import ClientRegistry
from exporter.exposition import Format, PageWriter, Variant
from exporter.polling import Poller
from exporter.state.store import SnapshotStore
from exporter.views.moment import moment_of
from tests.support.pages import Samples, Series, every, parse
from tests.support.proxy import Proxy
from tests.support.queue_changes import CHANGES, LEFT, NAMES, SEEDS, build, now_ms, shown
from tests.support.redis_data import add_event
from tests.support.servers import Server, valkey
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import LIMIT_SECONDS
from tests.support.watch import Watch, config_for, patient

STALE = 5.0
COMPLETED = "bullmq_queue_jobs_completed_total"


@pytest.fixture
def proxy(real_server: Server) -> Iterator[Proxy]:
    found = Proxy(real_server)
    yield found
    found.close()


class Pair:
    """Connection `a` through a proxy and `b` directly; adds up the increases on their pages."""

    def __init__(self, server: Server, proxy: Proxy, clock: StoppedClock) -> None:
        self._clock = clock
        base = config_for(server.url)
        direct = base.connections["default"]
        through = patient(direct.model_copy(update={"url": parse_url(proxy.url)}))
        self._config: Config = base.model_copy(
            update={
                "connections": {"a": through, "b": direct},
                "poll": base.poll.model_copy(
                    update={"interval_seconds": 1.0, "stale_after_seconds": STALE}
                ),
            }
        )
        self._store = SnapshotStore(["a", "b"])
        registry = ClientRegistry()
        self._pollers = [
            Poller(
                self._config,
                [name],
                registry.get(connection, name),
                collectors_for(self._config),
                self._store,
            )
            for name, connection in self._config.connections.items()
        ]
        self._writer = PageWriter()
        self._last: dict[Series, float] = {}
        self.increase = 0.0
        """The increase of completed jobs over both connections, summed like Prometheus."""
        for poller in self._pollers:
            poller.poll_once()

    def poll(self, times: int = 1) -> Samples:
        """Poll with both once a second. Returns the samples of the last page."""
        for _ in range(times):
            self._clock.move(1)
            for poller in self._pollers:
                poller.poll()
                poller._discover(float("inf"))
            page = self._writer.write(moment_of(self._store, self._config))
            samples = parse(page.body(Variant(Format.TEXT, gzip=False)).decode())
            self._add(samples)
        return samples

    def _add(self, samples: Samples) -> None:
        for series, count in every(samples, COMPLETED).items():
            before = self._last.get(series, 0.0)
            self.increase += count - before if count >= before else count
            self._last[series] = count


def test_each_event_counts_once_across_both_connections(
    real_server: Server, proxy: Proxy, clock: StoppedClock
) -> None:
    client = real_server.client()
    client.hset("bull:q:meta", "opts.maxLenEvents", 10000)
    pair = Pair(real_server, proxy, clock)
    pair.poll(2)
    for _ in range(50):
        add_event(client, "completed")
    pair.poll(3)
    assert pair.increase == 50
    for turn in range(2):
        proxy.refuse()
        pair.poll(int(STALE) + 3)  # b takes over
        for _ in range(10):
            add_event(client, "completed")
        pair.poll(3)
        assert pair.increase == 60 + 15 * turn
        proxy.accept_again()
        pair.poll(3)  # a takes over again
        for _ in range(5):
            add_event(client, "completed")
        pair.poll(3)
        assert pair.increase == 65 + 15 * turn


def test_an_outage_without_a_second_connection_loses_nothing(
    real_server: Server, proxy: Proxy, clock: StoppedClock
) -> None:
    """The events of the outage are read afterwards."""
    client = real_server.client()
    client.hset("bull:q:meta", "opts.maxLenEvents", 10000)
    pair = Pair(real_server, proxy, clock)
    pair._pollers.pop()
    pair.poll(2)
    proxy.refuse()
    pair.poll(int(STALE) + 3)
    for _ in range(10):
        add_event(client, "completed")
    proxy.accept_again()
    pair.poll(3)
    assert pair.increase == 10


def of_queues(samples: Samples) -> Samples:
    """The samples of queues without the label of the connection that reads them."""
    return {
        (name, frozenset((key, text) for key, text in labels if key != "connection")): number
        for (name, labels), number in shown(samples).items()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_either_connection_shows_what_a_new_exporter_shows(clock: StoppedClock, seed: int) -> None:
    """After random changes, restarts of Redis, and changes of the reading connection."""
    rng = random.Random(seed)  # noqa: S311 - to repeat a failure
    persistent = ("--appendonly", "yes", "--appendfsync", "always")
    with valkey(*persistent) as server:
        proxy = Proxy(server)
        build(server.client())
        pair, cut = Pair(server, proxy, clock), False
        pair.poll(2)
        for _ in range(12):
            step = rng.choice(("change", "change", "switch", "restart"))
            if step == "switch":
                (proxy.accept_again if cut else proxy.refuse)()
                cut = not cut
                pair.poll(int(STALE) + 3)
            elif step == "restart":
                server.kill()
                server.start()
            else:
                for _ in range(3):
                    rng.choice(CHANGES)(server.client(), rng.choice(NAMES), rng)
            for queue in NAMES:
                add_event(server.client(), "completed", queue=queue, entry_id=f"{now_ms()}-*")
            ours = of_queues(pair.poll(3))
            fresh = of_queues(Watch(server.url).discover_and_poll())
            left, less = (every(samples, LEFT) for samples in (ours, fresh))
            assert left == pytest.approx(less, abs=LIMIT_SECONDS), step
            assert ours | left == fresh | left, step
        assert 0 < pair.increase <= completed(server)
        proxy.close()


def completed(server: Server) -> int:
    """The number of `completed` events in the streams, which are never trimmed."""
    streams = [server.client().xrange(f"bull:{queue}:events") for queue in NAMES]
    return sum(fields[b"event"] == b"completed" for each in streams for _, fields in each)
