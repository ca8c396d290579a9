"""docs/managed-redis.md: absent metrics and log lines if a command is refused."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.command import command
from tests.support.pages import parse
from tests.support.redis_data import add_queues
from tests.support.servers import Server, redis_server

TEXT = (Path(__file__).parents[2] / "docs" / "managed-redis.md").read_text()
ROWS = re.findall(r"^\| `([A-Z]+)` \| (.+?) \| (.*?) ?\|$", TEXT, re.MULTILINE)
OF_THE_CONNECTION = {
    "bullmq_exporter_events_lag_seconds",
    "bullmq_exporter_inflight_jobs_dropped_total",
}


def page(server: Server) -> tuple[set[str], str]:
    """The families on the page of a queue with a job and an event, and the log."""
    client = server.client()
    add_queues(client, "mail")
    client.xadd("bull:mail:events", {"event": "added", "jobId": "1"})
    done = command("run", "--once", REDIS_URL=server.url)
    assert done.returncode == 0
    return {name for name, _ in parse(done.stdout)}, done.stderr


@pytest.fixture(scope="module")
def whole(_redis: Server) -> set[str]:
    """The families of a server that refuses nothing."""
    _redis.client().flushall()
    return page(_redis)[0]


def test_the_table_is_parsed() -> None:
    assert [row[0] for row in ROWS][:2] == ["CLIENT", "INFO"]
    assert len(ROWS) == TEXT.count("\n| `")


@pytest.mark.parametrize(("refused", "absent", "line"), ROWS, ids=[row[0] for row in ROWS])
def test_a_refused_command_has_the_documented_effect(
    whole: set[str], refused: str, absent: str, line: str
) -> None:
    with redis_server("--rename-command", refused, "") as server:
        found, log = page(server)
    patterns = re.findall(r"`(bullmq_[a-z_*]+)`", absent)
    missing = whole - found
    if refused == "SCAN":
        assert missing >= {name for name in whole if name.startswith("bullmq_queue_")}
    else:
        assert missing == {
            name
            for name in whole - OF_THE_CONNECTION
            if any(fnmatch(name, pattern) for pattern in patterns)
        }
    warnings = [each for each in log.splitlines() if " WARNING " in each]
    assert bool(warnings) == bool(line)
    assert not line or any(line.strip("`") in each for each in warnings)
    assert all(refused.lower() in each.lower() for each in warnings)
