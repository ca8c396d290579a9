"""Shards: together they show exactly what one exporter shows."""

from __future__ import annotations

from typing import Any

from exporter.config.shard import Shard
from tests.support.pages import Samples, every, value
from tests.support.redis_data import add_queues
from tests.support.servers import FakeServer, Server
from tests.support.watch import Watch

PARTS = 3
# metrics of a process and its connections, which every shard has
OWN = (
    "bullmq_exporter_",
    "bullmq_up",
    "bullmq_connection_",
    "process_",
    "python_",
    "bullmq_exporter_events_lag_seconds",
    "bullmq_exporter_inflight_jobs_dropped_total",
)
# ages and clocks differ from poll to poll
TIMED = ("_seconds", "bullmq_redis_")


def shards(server: Server | FakeServer, **queues: Any) -> list[Samples]:
    return [
        Watch(server.url, shard=Shard(part, PARTS), **queues).discover_and_poll()
        for part in range(1, PARTS + 1)
    ]


def shown(samples: Samples) -> Samples:
    return {key: v for key, v in samples.items() if not key[0].startswith(OWN)}


def test_shards_together_show_what_one_exporter_shows(real_server: Server) -> None:
    names = [f"queue-{number}" for number in range(40)]
    for prefix in ("bull", "other"):
        add_queues(real_server.client(), *names, prefix=prefix)
    options = {"prefixes": ("bull", "other"), "static": ("by-name",)}
    alone = shown(Watch(real_server.url, **options).discover_and_poll())

    pages = [shown(page) for page in shards(real_server, **options)]
    union: Samples = {}
    for page in pages:
        assert not set(page) & set(union)
        union |= page

    assert set(union) == set(alone)
    steady = {key for key in alone if not key[0].startswith(TIMED) and not key[0].endswith(TIMED)}
    assert {key: union[key] for key in steady} == {key: alone[key] for key in steady}
    assert len(every(alone, "bullmq_queue_size")) == 2 * 41 * 7
    assert all(every(page, "bullmq_queue_size") for page in pages)


def test_only_the_first_shard_shows_the_server(real_server: Server) -> None:
    add_queues(real_server.client(), "mail")
    pages = shards(real_server)
    assert [bool(every(page, "bullmq_redis_info")) for page in pages] == [True, False, False]
    assert [value(page, "bullmq_up") for page in pages] == [1, 1, 1]


def test_counts_and_limits_are_per_shard(any_server: Server | FakeServer) -> None:
    add_queues(any_server.client(), *(f"queue-{number}" for number in range(30)))
    pages = shards(any_server)
    queues = [value(page, "bullmq_exporter_queues") or 0 for page in pages]
    assert sum(queues) == 30
    assert 0 not in queues
    limited = shards(any_server, max=5)
    assert [value(page, "bullmq_exporter_queues") for page in limited] == [5, 5, 5]
    dropped = [value(page, "bullmq_exporter_queues_dropped") for page in limited]
    assert dropped == [count - 5 for count in queues]


def test_two_exporters_show_the_same(real_server: Server) -> None:
    add_queues(real_server.client(), "mail", "images")
    pair = [Watch(real_server.url) for _ in range(2)]
    for watch in pair:
        watch.discover_and_poll()
    real_server.client().xadd("bull:mail:events", {"event": "added", "jobId": "1", "name": "n"})
    pages = [shown(watch.poll()) for watch in pair]
    assert [value(page, "bullmq_queue_jobs_added_total", queue="mail") for page in pages] == [1, 1]
    assert set(pages[0]) == set(pages[1])
    assert every(pages[0], "bullmq_queue_size") == every(pages[1], "bullmq_queue_size")
