"""Clusters: routing by slot, slot owners, and several masters reported as one server."""

from __future__ import annotations

from typing import Any, cast

import pytest

from exporter.bullmq import queue_of
from exporter.collectors import Context, ServerCollector
from exporter.collectors.server.cluster import ClusterTotals
from exporter.collectors.workers import maximum_by_queue
from exporter.config.models import Connection
from exporter.connection import Client, Metadata, Replies, ReplyError, pack
from exporter.connection.metadata import Info
from exporter.connection.routing import plan_of
from exporter.connection.slots import Redirection, read_slots, redirection
from exporter.state.snapshots import ServerFacts
from exporter.state.workers import WorkerCount

# slots by `CLUSTER KEYSLOT`
A, B = 15495, 3300


class TestRouting:
    def test_commands_of_a_queue_stay_together(self) -> None:
        commands = [
            pack("LLEN", "bull:{a}:wait"),
            pack("HMGET", "bull:{a}:meta", "version"),
            pack("XINFO", "STREAM", "{b}:mail:events"),
            pack("TIME"),
            pack("LLEN", "{b}:mail:wait"),
        ]
        plan = plan_of(b"".join(commands), 5)
        assert [(run.slot, run.start, run.count) for run in plan.runs] == [
            (A, 0, 2),
            (B, 2, 1),
            (None, 3, 1),
            (B, 4, 1),
        ]
        assert b"".join(run.packed for run in plan.runs) == b"".join(commands)
        assert plan.runs[0].commands() == commands[:2]
        assert plan.join([1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]

    def test_an_xread_over_several_slots_is_split(self) -> None:
        keys = ["bull:{a}:events", "{b}:x:events", "bull:{a}more:events"]
        xread = pack("XREAD", "COUNT", 7, "STREAMS", *keys, "1-0", "2-0", "3-0")
        plan = plan_of(pack("LLEN", "bull:{a}:wait") + xread, 2)
        assert [(run.slot, run.start) for run in plan.runs] == [(A, 0), (B, 2)]
        assert plan.runs[0].commands()[1] == pack(
            "XREAD", "COUNT", 7, "STREAMS", keys[0], keys[2], "1-0", "3-0"
        )
        assert plan.runs[1].packed == pack("XREAD", "COUNT", 7, "STREAMS", keys[1], "2-0")
        news_a, news_b = [b"a", []], [b"b", []]
        assert plan.join([5, [news_a], [news_b]]) == [5, [news_a, news_b]]
        assert plan.join([5, None, [news_b]]) == [5, [news_b]]
        assert plan.join([5, None, None]) == [5, None]
        error = ReplyError("WRONGTYPE no stream")
        assert plan.join([5, [news_a], error]) == [5, error]

    def test_a_key_may_contain_any_bytes(self) -> None:
        key = b"bull:\r\n*1\r\n$4\r\nPING\x00{a}:wait"
        plan = plan_of(pack("LLEN", key), 1)
        assert [(run.slot, run.packed) for run in plan.runs] == [(A, pack("LLEN", key))]


class TestSlots:
    def test_owners_masters_and_ids(self) -> None:
        reply = [
            [0, 99, [b"h1", 1, b"id1"], [b"h3", 3, b"id3"]],
            [101, 16383, [b"", 2, b"id2"]],
        ]
        slots = read_slots(reply, ("asked", 9))
        assert slots.masters == (("h1", 1), ("asked", 2))
        assert [slots.owners[slot] for slot in (0, 99, 100, 101, 16383)] == [
            ("h1", 1),
            ("h1", 1),
            None,
            ("asked", 2),
            ("asked", 2),
        ]
        assert slots.ids == {"id1", "id2", "id3"}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("MOVED 7 h:1", Redirection(7, ("h", 1), asking=False)),
            ("ASK 7 ::1:6379", Redirection(7, ("::1", 6379), asking=True)),
            ("MOVED 7 :6380", Redirection(7, ("asked", 6380), asking=False)),
            ("CLUSTERDOWN Hash slot not served", None),
            ("WRONGTYPE no", None),
        ],
    )
    def test_redirections(self, text: str, expected: Redirection | None) -> None:
        assert redirection(text, ("asked", 9)) == expected


def metadata(**known: Any) -> Metadata:
    return Metadata("n", "a:1", "redis://a", "hash", 0, 0.0, **known)


def test_connections_that_share_a_node_share_the_keyspace() -> None:
    a = metadata(run_id="1", node_ids=("1", "2"))
    assert a.same_keyspace(metadata(run_id="2", node_ids=("2", "3")))
    assert not a.same_keyspace(metadata(run_id="4", node_ids=("4",)))
    assert not a.same_keyspace(metadata(run_id="5"))


def master(run_id: str, policy: str = "noeviction", **values: float) -> ServerFacts:
    info = {"version": "7.0.15", "maxmemory_policy": policy, "role": "master"}
    return ServerFacts(info, values, {"rdb": values.get("ok", 1) == 1}, run_id)


class TestTotals:
    def test_values_are_summed_or_those_of_the_worst_master(self) -> None:
        facts = ClusterTotals().of(
            [
                master("1", keys=5, eviction_safe=1, memory_used_bytes=50, memory_max_bytes=100),
                master("2", "allkeys-lru", keys=7, eviction_safe=0, memory_used_bytes=90, ok=0),
            ]
        )
        assert facts.info["maxmemory_policy"] == "allkeys-lru,noeviction"
        assert facts.info["version"] == "7.0.15"
        assert facts.values["keys"] == 12
        assert facts.values["eviction_safe"] == 0
        assert facts.values["memory_used_bytes"] == 50
        assert facts.values["memory_max_bytes"] == 100
        assert facts.persistence_ok == {"rdb": False}

    def test_a_sum_with_an_unknown_part_is_absent(self) -> None:
        assert "keys" not in ClusterTotals().of([master("1", keys=5), master("2")]).values

    def test_counters_do_not_fall_when_a_master_is_replaced(self) -> None:
        totals = ClusterTotals()

        def evicted(*masters: ServerFacts) -> float:
            return totals.of(masters).values["evicted_keys"]

        assert evicted(master("1", evicted_keys=10), master("2", evicted_keys=100)) == 110
        assert evicted(master("1", evicted_keys=11), master("2", evicted_keys=100)) == 111
        assert evicted(master("1", evicted_keys=11), master("3", evicted_keys=4)) == 111
        assert evicted(master("1", evicted_keys=11), master("3", evicted_keys=6)) == 113
        # CONFIG RESETSTAT on one of them
        assert evicted(master("1", evicted_keys=2), master("3", evicted_keys=6)) == 115
        assert evicted(master("1", evicted_keys=5), master("3", evicted_keys=6)) == 118


class HiddenMaster:
    """A master that hides its ID, as some providers do."""

    def __init__(self, port: int) -> None:
        self.settings = Connection.model_validate({"url": f"redis://h:{port}"})
        self.evicted = 0

    def batch(self, _: bytes, __: int, ___: int) -> Replies:
        return Replies([b"role:master\r\nevicted_keys:%d\r\n" % self.evicted, 1])

    def update_metadata(self, _: Info) -> None:
        """Ignored."""


class FakeCluster:
    """A client of a cluster with these masters."""

    settings = Connection.model_validate({"url": "redis://h", "cluster": True})

    def __init__(self, *nodes: HiddenMaster) -> None:
        self.nodes = nodes


def test_masters_with_hidden_ids_are_counted_separately() -> None:
    a, b = HiddenMaster(1), HiddenMaster(2)
    collector, context = ServerCollector(), Context(cast("Client", FakeCluster(a, b)), 0.0)
    a.evicted, b.evicted = 10, 1000
    assert collector.collect(context).values["evicted_keys"] == 1010
    a.evicted, b.evicted = 12, 1003
    assert collector.collect(context).values["evicted_keys"] == 1015
    b.evicted = 2
    assert collector.collect(context).values["evicted_keys"] == 1017


def test_a_worker_on_two_nodes_counts_once() -> None:
    mail, other = queue_of("{bull}", "mail"), queue_of("{bull}", "other")
    lists = [
        {mail: WorkerCount(2, 0), other: WorkerCount(1, 1)},
        {mail: WorkerCount(1, 1)},
    ]
    assert maximum_by_queue(lists) == {mail: WorkerCount(2, 1), other: WorkerCount(1, 1)}
