"""An exception anywhere in a collector affects only that collector."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from exporter.collectors import Discovery, SyncTest, collectors_for
from exporter.connection import ClientRegistry
from exporter.exposition import Format, PageWriter, Variant
from exporter.polling import Poller, SyncRunner
from exporter.state.store import SnapshotStore
from exporter.views.moment import moment_of
from tests.support.live import QUEUE, announce, work
from tests.support.pages import Samples, every, parse, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.waiting import LIMIT_SECONDS, wait_for
from tests.support.watch import config_for

STALE_AFTER = 60.0
EXCEPTIONS = (KeyError("key"), MemoryError(), RecursionError(), AssertionError())
SUCCESS = "bullmq_exporter_collector_success"
ERRORS = "bullmq_exporter_collector_errors_total"
FAMILIES = {
    "server": ("bullmq_redis_info", "bullmq_redis_keys"),
    "queues": ("bullmq_queue_size", "bullmq_queue_paused", "bullmq_queue_info"),
    "workers": ("bullmq_queue_workers",),
    "events": ("bullmq_queue_jobs_completed_total", "bullmq_queue_job_run_seconds_count"),
    "discovery": ("bullmq_exporter_queues", "bullmq_exporter_queues_dropped"),
}


class Polled:
    """A poller that is run by hand, and whose collectors can raise exceptions."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exception: dict[str, Exception] = {}
        config = config_for(server.url, discovery_interval_seconds=0.001)
        self._store = SnapshotStore(["default"])
        self._client = ClientRegistry().get(config.connections["default"], "default")
        collectors = collectors_for(config)
        for collector in collectors:
            self._inject(monkeypatch, collector, collector.name, "collect")
        for method in ("step", "current"):
            self._inject(monkeypatch, Discovery, "discovery", method)
        self._passed = 0.0
        monotonic = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + self._passed)
        self._poller = Poller(config, ["default"], self._client, collectors, self._store)
        self._writer = PageWriter()
        self._config = config

    def _inject(
        self, monkeypatch: pytest.MonkeyPatch, target: object, name: str, method: str
    ) -> None:
        real = getattr(target, method)

        def double(*arguments: object) -> object:
            if name in self.exception:
                raise self.exception[name]
            return real(*arguments)

        monkeypatch.setattr(target, method, double)

    def pass_time(self, seconds: float) -> None:
        """Advance the monotonic clock."""
        self._passed += seconds

    def poll(self) -> Samples:
        assert self._poller.poll_once()
        page = self._writer.write(moment_of(self._store, self._config, stale_after=STALE_AFTER))
        return parse(page.body(Variant(Format.TEXT, gzip=False)).decode())

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def polled(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Polled]:
    announce(server.client())
    add_queues(server.client(), "still")
    found = Polled(server, monkeypatch)
    yield found
    found.close()


def shown(samples: Samples) -> set[str]:
    """The collectors whose families are all on the page."""
    return {
        collector
        for collector, families in FAMILIES.items()
        if all(every(samples, family) for family in families)
    }


def succeeded(samples: Samples) -> dict[str, float]:
    return {dict(labels)["collector"]: ok for (_, labels), ok in every(samples, SUCCESS).items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_an_exception_affects_only_that_collector(
    server: Server, polled: Polled, name: str
) -> None:
    client, others = server.client(), FAMILIES.keys() - {name}
    polled.poll()
    work(client, 1)
    assert shown(polled.poll()) == FAMILIES.keys()

    number = 1
    for exception in EXCEPTIONS:
        polled.exception = {name: exception}
        polled.poll()
        number += 1
        work(client, number)
    polled.pass_time(STALE_AFTER + 1)
    samples = polled.poll()
    assert succeeded(samples) == dict.fromkeys(others, 1) | {name: 0}
    counted = {dict(labels)["collector"] for (_, labels), n in every(samples, ERRORS).items() if n}
    assert counted == {name}
    assert value(samples, ERRORS, collector=name, error="internal")
    assert shown(samples) >= others
    if name != "events":
        assert value(samples, "bullmq_queue_jobs_completed_total", queue=QUEUE) == number
    if name != "discovery":  # the known queues are as old as the last poll
        assert not any(every(samples, family) for family in FAMILIES[name])

    polled.exception = {}
    samples = polled.poll()
    assert succeeded(samples) == dict.fromkeys(FAMILIES, 1)
    assert shown(samples) == FAMILIES.keys()
    assert value(samples, "bullmq_queue_jobs_completed_total", queue=QUEUE) == number


def test_an_exception_in_the_sync_test_costs_one_round(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(server.url)
    sync = config.sync.model_copy(update={"interval_seconds": 0.1})
    config, store = config.model_copy(update={"sync": sync}), SnapshotStore(["default"])
    real, exceptions = SyncTest.run, list(EXCEPTIONS)

    def double(test: SyncTest) -> object:
        if exceptions:
            raise exceptions.pop()
        return real(test)

    monkeypatch.setattr(SyncTest, "run", double)
    runner = SyncRunner(config, store)
    runner.start()
    report = wait_for(lambda: store.sync, "a round")
    runner.stop()
    runner.join(LIMIT_SECONDS)
    assert not exceptions
    assert [pair.passed for pair in report.pairs] == [True]
