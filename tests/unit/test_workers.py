"""Workers counted from CLIENT LIST replies, captured and constructed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from exporter.bullmq import Queue, queue_of
from exporter.collectors.contract import Context
from exporter.collectors.workers import WorkerNames, WorkersCollector, count_workers
from exporter.state.snapshots import WorkerCount
from tests.support.fuzzing.fuzzed_client import FuzzedClient
from tests.support.keyspaces import NAMES, keyspace

MAIL = queue_of("bull", "mail")


def line(name: str, *, flags: str = "b", cmd: str = "bzpopmin", db: int = 0) -> bytes:
    return (
        f"id=7 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name={name} age=1 idle=1 flags={flags} "
        f"db={db} sub=0 cmd={cmd} user=default redir=-1 resp=2 lib-name=ioredis lib-ver=5"
    ).encode()


def node(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


def counted(*lines: bytes, queues: tuple[Queue, ...] = (MAIL,)) -> dict[str, WorkerCount]:
    return {q.name: n for q, n in count_workers(lines, WorkerNames(queues), 0).counts.items()}


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
        assert found == {queue: WorkerCount(1, 1)}


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
        assert WorkersCollector().collect(context).of(MAIL) == WorkerCount(1, 1)
        assert context.errors.oversized.total() == 2
