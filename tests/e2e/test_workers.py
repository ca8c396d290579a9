"""Workers of live BullMQ, as the exporter describes them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.collectors.workers import count
from exporter.views.moment import moment_of
from exporter.views.overview import QueueView, overview
from tests.support.actors import Actors, part
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for
from tests.support.watch import Watch


@pytest.fixture
def server() -> Iterator[Server]:
    with valkey() as started:
        yield started


@pytest.fixture
def act(server: Server) -> Iterator[Actors]:
    actors = Actors(server.port)
    yield actors
    actors.close()


def seen(watch: Watch) -> QueueView:
    watch.poll_unseen()
    (view,) = overview(moment_of(watch.store, watch.config)).queues
    return view


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_a_frozen_worker_among_its_peers(
    library: str, server: Server, act: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count, "QUIET_SECONDS", 3)
    options: dict[str, Any] = {"lockDuration": 1000, "stalledInterval": 500}
    frozen = act("worker", library=library, options={"name": "frozen", **options})
    act("worker", library=library, options={"name": "alive", **options})
    act("producer", every=20)
    watch = Watch(server.url)
    watch.discover_and_poll()
    workers = seen(watch).worker_connections
    assert workers is not None
    assert {worker.name for worker in workers} == {"alive", "frozen"}
    assert all(worker.client.startswith("ioredis ") for worker in workers)
    assert all(worker.address.startswith("127.0.0.1:") for worker in workers)
    assert seen(watch).odd_workers == ()

    frozen.send_signal(signal.SIGSTOP)
    (odd,) = wait_for(lambda: seen(watch).odd_workers, "the frozen worker is found")
    assert odd.kind == "silent"
    assert odd.proof.startswith("of 2 workers, 1 neither waits for jobs nor works on one")

    frozen.send_signal(signal.SIGCONT)
    wait_for(lambda: seen(watch).odd_workers == (), "it works again")


def test_busy_and_rate_limited_workers_are_not_silent(
    server: Server, act: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their connections are as quiet as that of a worker that hangs."""
    monkeypatch.setattr(count, "QUIET_SECONDS", 1)
    busy = part("worker", "busy", ms=600_000)
    limited = part("worker", "limited", limiter={"max": 1, "duration": 600_000})
    act.play(busy, busy, limited, limited)
    act.play(*(part("producer", queue, count=2) for queue in ("busy", "limited")))
    watch = Watch(server.url)
    watch.discover_and_poll()

    def all_quiet() -> bool:
        watch.poll_unseen()
        views = overview(moment_of(watch.store, watch.config)).queues
        assert [view.odd_workers for view in views] == [(), ()]
        workers = [worker for view in views for worker in view.worker_connections or ()]
        return len(workers) == 4 and not any(
            each.waiting or each.idle_seconds <= 1 for each in workers
        )

    wait_for(all_quiet, "all connections are quiet")
