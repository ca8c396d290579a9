"""The migration table matches BullMQ's own Prometheus export."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.alert_tests import FOLDER
from tests.support.command import command
from tests.support.pages import jobs, parse
from tests.support.redis_data import add_queues
from tests.support.requirements import node_modules
from tests.support.servers import Server
from tests.support.waiting import LIMIT_SECONDS


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_old_names_and_states_match_the_library(server: Server, library: str) -> None:
    add_queues(server.client(), "mail")
    script: Path = node_modules().parent / "export.mjs"
    page = subprocess.run(
        ["node", str(script), library, str(server.port), "mail"],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
    ).stdout
    rules = (FOLDER / "migration" / "exportPrometheusMetrics.yml").read_text()
    assert set(re.findall(r"^(\w+)\{", page, re.MULTILINE)) == set(
        re.findall(r"record: (\w+)", rules)
    )
    old = dict(re.findall(r'state="([\w-]+)"\} (\d+)', page))
    ours = jobs(parse(command("run", "--once", REDIS_URL=server.url).stdout))
    assert old.pop("paused", "0") == "0"
    assert {("mail", state): int(count) for state, count in old.items()} == ours
