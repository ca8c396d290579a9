"""Workers counted from CLIENT LIST replies, captured and constructed."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from exporter.bullmq import Queue, queue_of
from exporter.collectors.contract import Context
from exporter.collectors.workers import (
    WorkerNames,
    WorkersCollector,
    count_workers,
    maximum_by_queue,
)
from exporter.state.workers import Worker, WorkerCount
from tests.support.fuzzing.fuzzed_client import FuzzedClient
from tests.support.keyspaces import NAMES, keyspace

MAIL = queue_of("bull", "mail")


def line(
    name: str,
    *,
    flags: str = "b",
    cmd: str = "bzpopmin",
    db: int = 0,
    idle: int = 1,
    lib: str = "lib-name=ioredis lib-ver=5",
) -> bytes:
    return (
        f"id=7 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name={name} age=99 idle={idle} "
        f"flags={flags} db={db} sub=0 cmd={cmd} user=default redir=-1 resp=2 {lib} io-thread=0"
    ).encode()


def node(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


def counted(*lines: bytes, queues: tuple[Queue, ...] = (MAIL,)) -> dict[str, WorkerCount]:
    """The numbers alone."""
    counts = count_workers(lines, WorkerNames(queues), 0).counts
    return {queue.name: WorkerCount(count.total, count.idle) for queue, count in counts.items()}


def described(*lines: bytes, queues: tuple[Queue, ...] = (MAIL,), nodes: int = 1) -> WorkerCount:
    return count_workers(lines, WorkerNames(queues), 0, nodes=nodes).of(queues[0])


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_bullmqs_own(name: str) -> None:
    captured = keyspace(name)
    queues = tuple(queue_of("bull", queue) for queue in captured["official_get_workers"])
    lines = [text.encode() for text in captured["client_list_all"]]
    found = count_workers(lines, WorkerNames(queues), 0).counts
    # BullMQ for Python counts both connections of a worker
    halved = 2 if "python" in name else 1
    assert {queue.name: found.get(queue, WorkerCount(0, 0)).total for queue in queues} == {
        queue: count // halved for queue, count in captured["official_get_workers"].items()
    }
    assert found[queue_of("bull", "ghost")].idle == 1
    assert found[queue_of("bull", "audio-analyzer")].idle == 0


class TestNames:
    def test_node_workers_with_and_without_a_name(self) -> None:
        lines = (line(f"bull:{node('mail')}"), line(f"bull:{node('mail')}:w:a", flags="N"))
        assert counted(*lines) == {"mail": WorkerCount(2, 1)}

    def test_a_python_worker_has_two_connections(self) -> None:
        pair = (line("bull:mail:w:x"), line("bull:mail:w:x", flags="N", cmd="evalsha"))
        assert counted(*pair) == {"mail": WorkerCount(1, 1)}
        # its blocking connection may be missing for seconds
        assert counted(pair[1]) == {"mail": WorkerCount(1, 0)}

    def test_both_libraries_on_one_queue(self) -> None:
        lines = (line(f"bull:{node('mail')}"), line("bull:mail"), line("bull:mail", cmd="evalsha"))
        assert counted(*lines) == {"mail": WorkerCount(2, 2)}

    def test_a_queue_name_that_contains_the_worker_suffix(self) -> None:
        queues = (MAIL, queue_of("bull", "mail:w:a"))
        assert counted(line("bull:mail:w:a"), queues=queues) == {"mail:w:a": WorkerCount(1, 1)}
        assert counted(line("bull:mail:w:a:w:b"), queues=queues) == {"mail:w:a": WorkerCount(1, 1)}

    def test_other_connections_do_not_count(self) -> None:
        others = (
            line(f"bull:{node('mail')}:qe", cmd="xread"),
            line(f"bull:{node('mailing')}"),
            line(f"other:{node('mail')}"),
            line("bullmq-exporter:api"),
            line(""),
            line(f"bull:{node('mail')}", db=1),
            b"garbage",
            b"",
        )
        assert counted(*others) == {}

    def test_names_with_special_characters(self) -> None:
        queue = queue_of("my:app", "naïve {tag}")
        found = count_workers(
            [line(f"my:app:{node('naïve {tag}')}")], WorkerNames((queue,)), 0
        ).counts
        assert [(q, count.total, count.idle) for q, count in found.items()] == [(queue, 1, 1)]


class TestDescriptions:
    def test_a_worker_is_described(self) -> None:
        name = f"bull:{node('mail')}:w:a:w:b"
        (worker,) = described(line(name, idle=4)).examples
        assert worker == Worker("a:w:b", "127.0.0.1:1", "ioredis 5", 99, 4, "bzpopmin", True)

    def test_a_python_worker_is_described_once(self) -> None:
        pair = (line("bull:mail:w:x"), line("bull:mail:w:x", flags="N", cmd="evalsha", idle=99))
        found = described(*pair)
        assert [worker.name for worker in found.examples] == ["x"]
        assert (found.quiet, found.clients) == (0, (("ioredis", "5", 1),))

    def test_a_queue_and_a_prefix_that_contain_the_worker_suffix(self) -> None:
        queue = queue_of("a:w:b", "c:w:d")
        for known in (f"a:w:b:{node('c:w:d')}", "a:w:b:c:w:d"):
            names = [
                described(line(known + rest), queues=(queue,)).examples[0].name
                for rest in ("", ":w:", ":w:me")
            ]
            assert names == ["", "", "me"]

    def test_quiet_workers_come_first_into_a_limited_list(self) -> None:
        name = f"bull:{node('mail')}"
        busy = [line(name, flags="N", idle=60) for _ in range(3)]
        found = described(*(line(name) for _ in range(20)), *busy)
        assert (found.total, found.quiet, len(found.examples)) == (23, 3, 10)
        assert sum(not worker.waiting for worker in found.examples) == 3

    @pytest.mark.parametrize(
        ("changes", "quiet"),
        [
            ({"flags": "N", "idle": 60}, 1),
            ({"flags": "N", "idle": 59}, 0),
            ({"flags": "b", "idle": 600}, 0),
            ({"flags": "N", "idle": 600, "cmd": "info"}, 1),
        ],
    )
    def test_which_connections_are_quiet(self, changes: dict[str, Any], quiet: int) -> None:
        assert described(line(f"bull:{node('mail')}", **changes)).quiet == quiet

    def test_in_a_cluster_only_the_node_counts_on_which_a_worker_has_waited(self) -> None:
        name = f"bull:{node('mail')}"
        lines = (
            line(name, flags="N", idle=600, cmd="info"),
            line(name, flags="N", idle=600, cmd="bzpopmin"),
        )
        assert described(*lines, nodes=3).quiet == 1

    def test_the_node_on_which_workers_wait_describes_them(self) -> None:
        here = described(line(f"bull:{node('mail')}"))
        there = described(*[line(f"bull:{node('mail')}", flags="N", lib="") for _ in range(2)])
        for nodes in ([here, there], [there, here]):
            merged = maximum_by_queue({MAIL: each} for each in nodes)[MAIL]
            assert merged == replace(here, total=2)

    def test_clients_without_a_version_are_unknown(self) -> None:
        """Before Redis 7.2, and with old clients, the line has no such field, or an empty one."""
        name = f"bull:{node('mail')}"
        for lib in ("", "lib-name= lib-ver=", "lib-name=ioredis lib-ver=", "lib-ver=5"):
            found = described(line(name, lib=lib))
            assert (found.clients, found.examples[0].client) == ((), "")
        versions = [f"lib-name=ioredis lib-ver={number}" for number in (6, 5, 6)]
        found = described(*(line(name, lib=each) for each in versions))
        assert found.clients == (("ioredis", "5", 1), ("ioredis", "6", 2))

    def test_many_queues_share_the_descriptions(self) -> None:
        queues = tuple(queue_of("bull", f"{number:05}") for number in range(10_000))
        lines = [line(f"bull:{node(queue.name)}:w:{n}") for queue in queues[:50] for n in range(9)]
        found = count_workers(lines, WorkerNames(queues), 0)
        assert {len(count.examples) for count in found.counts.values()} == {2}
        assert {count.total for count in found.counts.values()} == {9}


class CountingLookups(dict[bytes, tuple[Queue, bool]]):
    """A dict that counts its lookups."""

    count = 0

    def get(self, *arguments: Any) -> Any:
        self.count += 1
        return super().get(*arguments)


class TestLongNames:
    """Anyone who may connect to Redis chooses the name of the connection."""

    def test_the_number_of_lookups_does_not_grow_with_the_name(self) -> None:
        names = WorkerNames((MAIL,))
        lookups = names._workers = CountingLookups(names._workers)
        for repeats in (10, 2000):
            lookups.count = 0
            assert names.find(b"x" + b":w:" * repeats) is None
            assert lookups.count <= 1 + len(names._lengths)

    def test_a_worker_name_that_contains_the_suffix(self) -> None:
        assert counted(line("bull:mail:w:w:x")) == {"mail": WorkerCount(1, 1)}
        assert counted(line("bull:mail" + ":w:" * 99)) == {"mail": WorkerCount(1, 1)}

    def test_a_too_long_line_is_skipped_and_counted(self) -> None:
        own = line("bullmq-exporter:api").replace(b"id=7", b"id=5")
        lines = [line("bull:mail:w:" + "x" * size) for size in (100, 9000, 9000)]
        client = FuzzedClient({"CLIENT"}, [b"\n".join([own, *lines])])
        client.connect()
        context = Context(client, 0.0, (MAIL,))
        assert WorkersCollector().collect(context).of(MAIL).total == 1
        assert context.errors.oversized.total() == 2
