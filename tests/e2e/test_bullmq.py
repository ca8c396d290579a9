"""Live BullMQ: the exporter shows the counts of the library itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.support.command import command
from tests.support.pages import jobs, parse, value
from tests.support.requirements import node_modules
from tests.support.servers import Server
from tests.support.waiting import LIMIT_SECONDS

Counts = dict[str, dict[str, int]]


@contextmanager
def scenario(*arguments: str) -> Iterator[Counts]:
    """The counts that the library prints; the queues do not change until the end."""
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
        process.stdin.close()
        process.wait(timeout=LIMIT_SECONDS)
    finally:
        process.kill()
        process.wait()


def assert_equal_counts(server: Server, counts: Counts) -> None:
    expected: dict[tuple[str, str], int] = {}
    for queue, states in counts.items():
        for state, count in states.items():
            key = (queue, "waiting" if state == "paused" else state)
            expected[key] = expected.get(key, 0) + count
    done = command("run", "--once", REDIS_URL=server.url)
    assert done.returncode == 0, done.stderr
    samples = parse(done.stdout)
    found = jobs(samples)
    assert {key: found.get(key) for key in expected} == expected
    paused = value(samples, "bullmq_queue_paused", queue="paused")
    assert paused == (1 if "paused" in counts else None)


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_counts_of_bullmq_for_node(newest_server: Server, library: str) -> None:
    script = node_modules().parent / "scenario.mjs"
    with scenario("node", str(script), library, str(newest_server.port)) as counts:
        assert_equal_counts(newest_server, counts)


def test_counts_of_bullmq_for_python(newest_server: Server) -> None:
    module = "tests.e2e.python_scenario"
    with scenario(sys.executable, "-m", module, str(newest_server.port)) as counts:
        assert_equal_counts(newest_server, counts)


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_the_database_of_a_url_counts_unless_it_is_a_string(server: Server, library: str) -> None:
    script = node_modules().parent / "urls.mjs"
    done = subprocess.run(
        ["node", str(script), library, str(server.port)],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
    )
    other = redis.Redis(port=server.port, db=3)
    assert other.exists("bull:instance:wait", "bull:option:wait", "bull:parts:wait") == 3
    assert not server.client().dbsize(), "database 0"
    assert done.stdout == "127.0.0.1:6379/0\n"
