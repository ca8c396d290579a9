"""A real Prometheus scrapes the exporter, and promtool accepts the page."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.command import command
from tests.support.daemon import daemon
from tests.support.pages import jobs, parse
from tests.support.prometheus import prometheus
from tests.support.redis_data import add_queues
from tests.support.requirements import require
from tests.support.servers import Server
from tests.support.waiting import wait_for


def test_promtool_accepts_the_page(server: Server) -> None:
    promtool = require("promtool")
    add_queues(server.client(), "mail")
    page = command("run", "--once", REDIS_URL=server.url).stdout
    assert jobs(parse(page))
    done = subprocess.run(
        [promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "bullmq" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


def test_prometheus_scrapes_all_names(server: Server, tmp_path: Path) -> None:
    client = server.client()
    add_queues(client, "mail", 'quo"ted\nline', "ünï")
    client.rpush("bull:mail:wait", *range(2, 43))
    with daemon(tmp_path, REDIS_URL=server.url) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        with prometheus(tmp_path, {"bullmq": [running.port]}) as prom:
            total = 'sum by (queue) (bullmq_queue_size{state=~"waiting|prioritized"})'
            found = {labels["queue"]: value for labels, value in prom.query(total)}
            assert found == {"mail": 42.0, 'quo"ted\nline': 1.0, "ünï": 1.0}
            assert prom.value("bullmq_up") == 1
            metadata = prom.get("metadata")
            metric = "bullmq_redis_commands_processed"
            # the name in the metadata depends on the scraped format
            (kind,) = {e["type"] for m in (metric, f"{metric}_total") for e in metadata.get(m, [])}
            assert kind == "counter"
