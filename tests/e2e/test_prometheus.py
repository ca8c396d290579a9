"""Real Prometheuses, an old and the newest, scrape the exporter; promtool accepts the page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.command import command
from tests.support.daemon import daemon
from tests.support.pages import jobs, parse
from tests.support.prometheus import NEWEST_PROMETHEUS, PROMETHEUS, PROMTOOLS, prometheus
from tests.support.redis_data import add_queues
from tests.support.requirements import require
from tests.support.servers import Server
from tests.support.waiting import wait_for


def test_promtool_accepts_the_page(server: Server) -> None:
    promtools = list(map(require, PROMTOOLS))
    add_queues(server.client(), "mail")
    page = command("run", "--once", REDIS_URL=server.url).stdout
    assert jobs(parse(page))
    for promtool in promtools:
        done = subprocess.run(
            [promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False
        )
        ours = [line for line in (done.stdout + done.stderr).splitlines() if "bullmq" in line]
        assert ours == []
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "formats"),
    [
        # the newest asks for one of them after the other
        (PROMETHEUS, {"bullmq": ""}),
        (
            NEWEST_PROMETHEUS,
            {
                "text": "PrometheusText0.0.4",
                "open": "OpenMetricsText1.0.0",
                "protobuf": "PrometheusProto",
            },
        ),
    ],
)
def test_prometheus_scrapes_all_names(
    server: Server, tmp_path: Path, program: str, formats: dict[str, str]
) -> None:
    client = server.client()
    add_queues(client, "mail", 'quo"ted\nline', "ünï")
    client.rpush("bull:mail:wait", *range(2, 43))
    with daemon(tmp_path, REDIS_URL=server.url) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        targets = {job: [running.port] for job in formats}
        protocols = {job: protocol for job, protocol in formats.items() if protocol}
        # without the flag, this Prometheus drops histograms that have native buckets, too
        flag = "--enable-feature=native-histograms"
        with prometheus(tmp_path, targets, "", flag, program=program, protocols=protocols) as prom:
            for job in formats:
                waiting = f'bullmq_queue_size{{state=~"waiting|prioritized",job="{job}"}}'
                found = prom.query(f"sum by (queue) ({waiting})")
                assert {labels["queue"]: value for labels, value in found} == {
                    "mail": 42.0,
                    'quo"ted\nline': 1.0,
                    "ünï": 1.0,
                }
                assert prom.value(f'bullmq_up{{job="{job}"}}') == 1
                pings = "bullmq_connection_ping_seconds"
                classic = f'{pings}_bucket{{job="{job}",le="+Inf"}}'
                assert prom.value(f'{classic} or histogram_count({pings}{{job="{job}"}})')
            metadata = prom.get("metadata")
            metric = "bullmq_redis_commands_processed"
            # the name in the metadata depends on the scraped format
            kinds = {e["type"] for m in (metric, f"{metric}_total") for e in metadata.get(m, [])}
            assert kinds == {"counter"}
