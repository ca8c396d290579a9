"""Sizes that anyone with access to Redis controls are limited, and exceeding values counted."""

from __future__ import annotations

import pytest

from exporter.bullmq import queue_of
from exporter.collectors import Context, EventsCollector
from exporter.collectors.events.aggregator import EventAggregator
from exporter.collectors.events.by_job_name import TotalAggregator
from exporter.collectors.events.streams import Limit, Stream, StreamReader
from exporter.config.loader import load
from exporter.config.models import Events
from exporter.connection import (
    ClientRegistry,
    ErrorClass,
    OversizedReplyError,
    RedisFailure,
    reply_bound,
)
from exporter.parsing import MAX_LABEL_BYTES, OTHER
from tests.support.pages import every, value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import Server
from tests.support.watch import Watch, config_for, patient

OVERSIZED = "bullmq_exporter_collector_oversized_total"


def test_a_long_client_name_is_skipped(server: Server) -> None:
    """Workers are counted beside a client whose name consists of worker suffixes."""
    add_queues(server.client(), "mail")
    names = ("bull:mail:w:a", "bull:mail" + ":w:" * 10_000)
    clients = [server.client(client_name=name) for name in names]
    assert all(client.ping() for client in clients)
    watch = Watch(server.url)
    samples = watch.discover_and_poll()
    assert value(samples, "bullmq_queue_workers", queue="mail") == 1
    # one per poll: one before the queue was found, one after
    assert value(samples, OVERSIZED, collector="workers") == 2
    assert value(samples, OVERSIZED, collector="queues") == 0


def test_a_long_version_is_cut(server: Server) -> None:
    """It is counted whenever it is read."""
    client = server.client()
    add_queues(client, "mail")
    client.hset("bull:mail:meta", "version", "bullmq:5.0.0-" + "é" * 100_000)
    samples = Watch(server.url).discover_and_poll()
    (series,) = every(samples, "bullmq_queue_info")
    version = dict(series[1])["library_version"]
    assert version.startswith("bullmq:5.0.0-é")
    assert len(version.encode()) <= MAX_LABEL_BYTES + 3
    assert value(samples, OVERSIZED, collector="queues") == 1


def test_long_job_names_count_as_other(server: Server) -> None:
    """Names from the stream and from the job."""
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


@pytest.mark.parametrize("path", ["0", "1"])
@pytest.mark.parametrize(
    "reply",
    [b"*1000000000\r\n", b"$536870912\r\n" + b"x" * (1 << 17)],
    ids=["a list of a billion", "a string of 512 MB"],
)
def test_a_too_large_reply_ends_the_connection(server: Server, reply: bytes, path: str) -> None:
    """Also a reply to SELECT, which redis-py reads."""
    proxy = Proxy(server)
    url = proxy.url.removesuffix("0") + path
    settings = patient(load(None, {"REDIS_URL": url}).connections["default"])
    client = ClientRegistry().get(settings, "t")
    if path == "0":
        client.connect()
    proxy.corrupt = lambda _: reply
    with pytest.raises(RedisFailure) as caught:
        client.connect() if path == "1" else client.ping()
    assert caught.value.kind is ErrorClass.PROTOCOL
    assert not client.connected
    proxy.corrupt = None
    client.connect()
    assert client.ping() >= 0
    client.close()
    proxy.close()


def test_events_larger_than_a_reply_are_read_one_by_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole page of them ends the connection once."""
    monkeypatch.setattr(reply_bound, "MAX_BATCH_BYTES", 100_000)
    settings = config_for(server.url).connections["default"]
    client = ClientRegistry().get(settings, "t")
    client.connect()
    stream = Stream(
        queue_of("bull", "q"),
        b"bull:q:events",
        TotalAggregator(lambda: EventAggregator((1.0,), (1.0,)), {}),
        located=True,
        position=b"0-0",
    )
    for job in range(10):
        add_event(server.client(), "completed", job, returnvalue="x" * 50_000)
    reader, limit = StreamReader(page_bytes=65_536), Limit(1000, float("inf"))
    with pytest.raises(OversizedReplyError):
        reader.read_all(Context(client, 0.0), [stream], limit)
    client.connect()
    reader.read_all(Context(client, 0.0), [stream], limit)
    reader.read_on(Context(client, 0.0), [stream], limit)
    assert stream.read == 10
