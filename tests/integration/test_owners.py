"""Two connections to one keyspace: what each counts while the first comes and goes."""

from __future__ import annotations

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
from tests.support.pages import Samples, parse, value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_event
from tests.support.servers import Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import config_for, patient

STALE = 5.0
COMPLETED = "bullmq_jobs_completed_total"


@pytest.fixture
def proxy(real_server: Server) -> Iterator[Proxy]:
    found = Proxy(real_server)
    yield found
    found.close()


class Pair:
    """Connection `a` through a proxy, `b` directly, polled in turn; sums what a page shows."""

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
        self._last: dict[str, float] = {}
        self.increase = 0.0
        """Of the completed jobs, over both connections, as Prometheus would sum it."""
        for poller in self._pollers:
            poller.poll_once()

    def poll(self, times: int = 1) -> Samples:
        for _ in range(times):
            for poller in self._pollers:
                poller.poll()
                poller._discover(float("inf"))
            page = self._writer.write(moment_of(self._store, self._config))
            samples = parse(page.body(Variant(Format.TEXT, gzip=False)).decode())
            self._add(samples)
            self._clock.move(1)
        return samples

    def _add(self, samples: Samples) -> None:
        for name in self._config.connections:
            count = value(samples, COMPLETED, connection=name)
            if count is None:
                continue
            before = self._last.get(name, 0.0)
            self.increase += count - before if count >= before else count
            self._last[name] = count


def test_each_event_counts_once_over_both(
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
        proxy.let_in()
        pair.poll(3)  # a has taken over again
        for _ in range(5):
            add_event(client, "completed")
        pair.poll(3)
        assert pair.increase == 65 + 15 * turn


def test_an_outage_that_nobody_bridged_loses_nothing(
    real_server: Server, proxy: Proxy, clock: StoppedClock
) -> None:
    """The events of the gap are read afterwards, though others serve other keyspaces."""
    client = real_server.client()
    client.hset("bull:q:meta", "opts.maxLenEvents", 10000)
    pair = Pair(real_server, proxy, clock)
    pair._pollers.pop()
    pair.poll(2)
    proxy.refuse()
    pair.poll(int(STALE) + 3)
    for _ in range(10):
        add_event(client, "completed")
    proxy.let_in()
    pair.poll(3)
    assert pair.increase == 10
