"""Sizes that anyone with access to Redis can choose: each is bounded, and each bound is counted."""

from __future__ import annotations

from exporter.bullmq import queue_of
from exporter.collectors import Context, EventsCollector
from exporter.collectors.events.by_job_name import OTHER
from exporter.config.models import Events
from exporter.connection import ClientRegistry
from exporter.parsing import MAX_LABEL_BYTES
from tests.support.pages import every, value
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import Server
from tests.support.watch import Watch, config_for

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


def test_a_long_version_is_cut(server: Server) -> None:
    """It is counted whenever it is read, as it is not kept."""
    client = server.client()
    add_queues(client, "mail")
    client.hset("bull:mail:meta", "version", "bullmq:5.0.0-" + "é" * 100_000)
    samples = Watch(server.url).discover_and_poll()
    (series,) = every(samples, "bullmq_queue_info")
    version = dict(series[1])["library_version"]
    assert version.startswith("bullmq:5.0.0-é")
    assert len(version.encode()) <= MAX_LABEL_BYTES + 3
    assert value(samples, OVERSIZED, collector="queues") == 1


def test_long_job_names_count_together(server: Server) -> None:
    """Whether they are read from the stream or from the job."""
    client = server.client()
    config = config_for(server.url)
    opened = ClientRegistry().get(config.connections["default"], "t")
    opened.connect()
    collector = EventsCollector(Events(job_names=True), 5.0)
    queues = (queue_of("bull", "q"),)
    collector.collect(Context(opened, 0.0, queues))
    add_event(client, "added", 1, name="task")
    add_event(client, "added", 2, name="x" * 2000)
    client.hset("bull:q:3", "name", "y" * 2000)
    add_event(client, "active", 3)
    context = Context(opened, 0.0, queues)
    jobs = collector.collect(context).queues[queues[0]].jobs
    assert {name: (one.added, one.started) for name, one in jobs.items()} == {
        "task": (1, 0),
        OTHER: (1, 1),
    }
    assert context.errors.oversized.total() == 2
