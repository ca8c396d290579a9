"""Discovery of queues by the keys that BullMQ writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from exporter.bullmq import MAX_KEY_BYTES
from exporter.collectors import Context, Discovery
from exporter.config.models import Queues
from exporter.connection import Client, ClientRegistry
from tests.support.pages import value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.servers import Server, valkey
from tests.support.watch import Watch, config_for


def found(server: Server, **options: Any) -> list[tuple[str, str]]:
    watch = Watch(server.url, **options)
    watch.discover_and_poll()
    names = [key for key in watch.samples() if key[0] == "bullmq_queue_paused"]
    return sorted((dict(labels)["prefix"], dict(labels)["queue"]) for _, labels in names)


def test_each_of_the_three_keys_reveals_a_queue(any_server: Server) -> None:
    client = any_server.client()
    client.set("bull:only-id:id", 1)
    client.hset("bull:only-meta:meta", "version", "bullmq:6.7.0")
    client.set("bull:only-worker:stalled-check", 1)
    client.set("bull:not-a-queue:limiter", 1)
    client.set("cache:item:id", 1)
    assert found(any_server) == [
        ("bull", "only-id"),
        ("bull", "only-meta"),
        ("bull", "only-worker"),
    ]


@pytest.mark.parametrize("prefix", ["my:app", "{bull}", "a*b?[c]\\d", "naïve prefix"])
def test_prefixes_with_special_characters(any_server: Server, prefix: str) -> None:
    client = any_server.client()
    add_queues(client, "mail", "{tag}", prefix=prefix)
    add_queues(client, "other")
    assert found(any_server, prefixes=(prefix,)) == [(prefix, "mail"), (prefix, "{tag}")]


def test_the_longest_matching_prefix_wins(any_server: Server) -> None:
    client = any_server.client()
    add_queues(client, "mail")
    add_queues(client, "mail", prefix="bull:eu")
    add_queues(client, "mail", prefix="jobs")
    watch = Watch(any_server.url, prefixes=("bull", "bull:eu", "jobs", "empty"))
    samples = watch.discover_and_poll()
    counts = {
        prefix: value(samples, "bullmq_exporter_queues", prefix=prefix)
        for prefix in ("bull", "bull:eu", "jobs", "empty")
    }
    assert counts == {"bull": 1, "bull:eu": 1, "jobs": 1, "empty": 0}


@pytest.mark.parametrize(
    "name",
    ["a b", 'quo"ted', "new\nline", "tab\t", "ünï", "a:b", "back\\slash", "*", "50%"],
)
def test_names_with_special_characters(any_server: Server, name: str) -> None:
    add_queues(any_server.client(), name, "ordinary")
    assert found(any_server) == sorted([("bull", name), ("bull", "ordinary")])


def test_names_that_are_not_utf8_are_escaped(any_server: Server) -> None:
    add_queues(any_server.client(), b"bad\xff", "bad", "ordinary")
    assert found(any_server) == [("bull", "bad"), ("bull", "bad\\xff"), ("bull", "ordinary")]


def test_indistinguishable_names_are_dropped_and_counted(any_server: Server) -> None:
    add_queues(any_server.client(), b"bad\xff", "bad\\xff")
    watch = Watch(any_server.url)
    samples = watch.discover_and_poll()  # parsing fails if a series appears twice
    assert value(samples, "bullmq_exporter_queues") == 1
    assert value(samples, "bullmq_exporter_queues_dropped") == 1


def test_a_name_of_the_maximum_length(real_server: Server) -> None:
    name = "x" * (MAX_KEY_BYTES - len("bull::"))
    add_queues(real_server.client(), name, "ordinary")
    assert found(real_server) == [("bull", "ordinary"), ("bull", name)]


def test_longer_names_are_dropped_and_counted(real_server: Server) -> None:
    """Also a name with a colon, which would have to be verified."""
    names = [letter * (MAX_KEY_BYTES - len("bull::") + 1) for letter in ("x", "y", ":")]
    add_queues(real_server.client(), *names, "ordinary")
    watch = Watch(real_server.url)
    samples = watch.discover_and_poll()
    assert value(samples, "bullmq_exporter_queues") == 1
    assert value(samples, "bullmq_exporter_queues_dropped") == 3
    assert value(samples, "bullmq_exporter_collector_oversized_total", collector="discovery") == 6
    assert len(watch.page) < 100_000


def test_jobs_and_schedulers_named_like_keys_of_a_queue_are_no_queues(any_server: Server) -> None:
    client = any_server.client()
    add_queues(client, "mail", "with:colon")
    client.hset("bull:mail:repeat:meta", mapping={"name": "x", "every": "1000"})
    client.hset("bull:mail:repeat:id", mapping={"name": "x", "pattern": "* * * * *"})
    client.hset("bull:mail:group:id", mapping={"data": "{}", "timestamp": "1"})
    assert found(any_server) == [("bull", "mail"), ("bull", "with:colon")]


PHANTOMS = (
    "q:de:customer:42:id",
    "q:de:a:stalled-check",
    "q:de:x:de:y:id",
    "a:b:de:c:id",
    "q:groups:g1:id",
)


def add_phantoms(client: redis.Redis) -> None:
    for name in PHANTOMS:
        client.set(f"bull:{name}", 1)
    client.hset("bull:q:groups:g1:meta", "x", 1)


class TestKeysOfAQueue:
    """Keys of a queue that contain IDs chosen by users, and end like keys of another queue."""

    @pytest.mark.parametrize("batch", [10, 1000])
    def test_keys_of_a_queue_are_not_queues(self, any_server: Server, batch: int) -> None:
        """With small pages, many are seen before their queue."""
        client = any_server.client()
        add_queues(client, *(f"other{number}" for number in range(100)))
        add_phantoms(client)
        add_queues(client, "q", "a:b")
        names = {name for _, name in found(any_server, discovery_batch=batch)}
        assert names == {"q", "a:b", *(f"other{number}" for number in range(100))}

    def test_keys_of_an_excluded_queue_are_not_queues(self, any_server: Server) -> None:
        client = any_server.client()
        add_phantoms(client)
        add_queues(client, "q", "a:b", "c")
        assert found(any_server, include=("c", "*:id", "*:*:*")) == [("bull", "c")]

    def test_without_their_queue_such_names_are_queues(self, any_server: Server) -> None:
        add_queues(any_server.client(), "x:de:y", "de:z", "groups:z")
        names = [name for _, name in found(any_server)]
        assert names == ["de:z", "groups:z", "x:de:y"]

    def test_long_keys_of_a_queue_do_not_count_as_dropped(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "q")
        client.set(f"bull:q:de:{'x' * MAX_KEY_BYTES}:id", 1)
        samples = Watch(any_server.url).discover_and_poll()
        assert value(samples, "bullmq_exporter_queues_dropped") == 0

    def test_a_later_queue_reclaims_its_keys(self, any_server: Server) -> None:
        client = any_server.client()
        add_phantoms(client)
        discovery = Discovery(Queues())
        assert "q:de:customer:42" in run_pass(any_server, discovery)
        add_queues(client, "q", "a:b")
        run_pass(any_server, discovery)  # a queue known only by a worker's key may be missed once
        assert run_pass(any_server, discovery) == ["a:b", "q"]


def test_include_and_exclude(any_server: Server) -> None:
    add_queues(any_server.client(), "mail", "mail-test", "images", "Mail")
    options = {"include": ("mail*", "img*"), "exclude": ("*-test",)}
    assert found(any_server, **options) == [("bull", "mail")]


def test_static_queues_are_watched_even_if_they_do_not_exist(any_server: Server) -> None:
    add_queues(any_server.client(), "mail", "other")
    assert found(any_server, static=("mail", "future"), discovery=False) == [
        ("bull", "future"),
        ("bull", "mail"),
    ]
    assert found(any_server, static=("mail",)) == [("bull", "mail"), ("bull", "other")]


class TestMaximum:
    def test_queues_above_the_maximum_are_counted(self, any_server: Server) -> None:
        add_queues(any_server.client(), *(f"q{i:03}" for i in range(50)))
        watch = Watch(any_server.url, max=20, discovery_batch=10)
        samples = watch.discover_and_poll()
        assert value(samples, "bullmq_exporter_queues") == 20
        assert value(samples, "bullmq_exporter_queues_dropped") == 30

    def test_the_maximum_keeps_queues_that_are_watched_already(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, *(f"q{i:03}" for i in range(20)))
        config = config_for(any_server.url, max=20)
        discovery = Discovery(config.queues)
        before = run_pass(any_server, discovery)
        add_queues(client, *(f"a{i:03}" for i in range(20)))
        assert run_pass(any_server, discovery) == before
        assert discovery.current().prefixes["bull"].dropped == 20


def run_pass(server: Server, discovery: Discovery) -> list[str]:
    """Run a whole pass. Returns the names of all queues known after it."""
    client = ClientRegistry().get(config_for(server.url).connections["default"], "t")
    client.connect()
    while not discovery.step(Context(client, 0.0)):
        pass
    client.close()
    return [queue.name for queue in discovery.current().queues]


class TestOverTime:
    def test_queues_appear_and_vanish(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "a", "b")
        discovery = Discovery(Queues())
        assert run_pass(any_server, discovery) == ["a", "b"]
        add_queues(client, "c")
        client.delete("bull:a:meta", "bull:a:id", "bull:a:wait")
        assert run_pass(any_server, discovery) == ["b", "c"]

    def test_unchanged_queues_are_the_same_object(self, any_server: Server) -> None:
        add_queues(any_server.client(), "a", "b")
        discovery = Discovery(Queues())
        run_pass(any_server, discovery)
        before = discovery.current().queues
        run_pass(any_server, discovery)
        assert discovery.current().queues is before

    def test_a_lone_stalled_check_may_be_missed_once(self, any_server: Server) -> None:
        client = any_server.client()
        client.set("bull:ghost:stalled-check", 1)
        discovery = Discovery(Queues())
        assert run_pass(any_server, discovery) == ["ghost"]
        client.delete("bull:ghost:stalled-check")
        assert run_pass(any_server, discovery) == ["ghost"]
        assert run_pass(any_server, discovery) == []

    def test_a_pass_reads_pages_of_the_configured_size(self, server: Server) -> None:
        add_queues(server.client(), *(f"q{i:03}" for i in range(400)))
        discovery = Discovery(Queues(discovery_batch=100))
        client = ClientRegistry().get(config_for(server.url).connections["default"], "t")
        client.connect()
        pages = 1
        while not discovery.step(Context(client, 0.0)):
            pages += 1
        client.close()
        assert 10 <= pages <= 14
        assert len(discovery.current().queues) == 400


HIDDEN = ("hidden", "on", ">pass", "~*", "+@all", "-info")


class TestAnotherServer:
    """A cursor of one process would skip keys of another, which orders them differently."""

    NAMES = tuple(f"q{number:04}" for number in range(1000))

    @pytest.fixture
    def other(self) -> Iterator[Server]:
        with valkey() as found:
            yield found

    @pytest.fixture
    def proxy(self, server: Server, other: Server) -> Iterator[Proxy]:
        """A proxy to `server`, later to `other`; both have the queues, and each one more."""
        add_queues(server.client(), *self.NAMES, "only-first")
        add_queues(other.client(), *self.NAMES, "only-second")
        found = Proxy(server)
        yield found
        found.close()

    @pytest.mark.parametrize("user", ["", "hidden:pass@"])
    def test_a_pass_starts_again_on_another_server(
        self, server: Server, other: Server, proxy: Proxy, user: str
    ) -> None:
        """Also if INFO, which has the run ID, is refused."""
        for each in (server, other):
            each.client().execute_command("ACL", "SETUSER", *HIDDEN)
        client = self.client(proxy, user)
        discovery = Discovery(Queues(discovery_batch=100))
        for _ in range(3):
            assert not discovery.step(Context(client, 0.0))
        proxy.target = other.port
        client.connect()
        while not discovery.step(Context(client, 0.0)):
            pass
        names = {queue.name for queue in discovery.current().queues}
        client.close()
        assert names == {*self.NAMES, "only-second"}

    def test_a_pass_continues_on_the_same_server_after_a_reconnect(
        self, server: Server, proxy: Proxy
    ) -> None:
        client = self.client(proxy)
        discovery = Discovery(Queues(discovery_batch=100))
        pages = 0
        while not discovery.step(Context(client, 0.0)):
            pages += 1
            client.connect()
        client.close()
        assert len(discovery.current().queues) == 1001
        assert pages < server.client().dbsize() / 100 + 5

    @staticmethod
    def client(proxy: Proxy, user: str = "") -> Client:
        url = proxy.url.replace("://", f"://{user}")
        client = ClientRegistry().get(config_for(url).connections["default"], "t")
        client.connect()
        return client
