"""Why attempts of live BullMQ are retried."""

from __future__ import annotations

import pytest

from exporter.config.models import Events
from exporter.views.moment import moment_of
from exporter.views.overview import FailureView, overview
from tests.support.actors import Actors
from tests.support.servers import valkey
from tests.support.waiting import wait_for
from tests.support.watch import Watch


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_the_reason_of_retries(library: str) -> None:
    with valkey() as server:
        act = Actors(server.port)
        try:
            watch = Watch(server.url, events=Events(failure_classes=True))
            act("worker", library=library, failing=1)
            options = {"attempts": 1000, "backoff": {"type": "fixed", "delay": 20}}
            act("producer", library=library, count=2, options=options)
            watch.discover_and_poll()

            def seen() -> tuple[FailureView, ...]:
                watch.poll_unseen()
                (view,) = overview(moment_of(watch.store, watch.config)).queues
                assert view.failures == ()
                return view.retries

            (retries,) = wait_for(seen, "a reason")
            assert (retries.name, retries.example) == ("as requested", "as requested")
            wait_for(lambda: seen()[0].count > 3, "more retries")
        finally:
            act.close()
