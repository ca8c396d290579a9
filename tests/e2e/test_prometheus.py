"""A real Prometheus scrapes the exporter, and promtool finds nothing to say."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.contract.test_discovery import add
from tests.support.daemon import daemon
from tests.support.need import need
from tests.support.pages import jobs
from tests.support.servers import Server, free_port, wait_for


def test_promtool_is_silent(server: Server, tmp_path: Path) -> None:
    promtool = need("promtool")
    add(server.client(), "mail")
    with daemon(tmp_path, REDIS_URL=server.url) as running:
        wait_for(lambda: jobs(running.samples()), 5, "queues on the page")
        page = running.get("/metrics").body
    done = subprocess.run(
        [promtool, "check", "metrics"], input=page, capture_output=True, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).decode().splitlines() if "bullmq" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


def test_prometheus_scrapes_and_answers(server: Server, tmp_path: Path) -> None:
    prometheus = need("prometheus")
    client = server.client()
    add(client, "mail", 'quo"ted\nline', "ünï")
    client.rpush("bull:mail:wait", *range(2, 43))
    with daemon(tmp_path, REDIS_URL=server.url) as running:
        wait_for(lambda: jobs(running.samples()), 5, "queues on the page")
        port = free_port()
        (tmp_path / "prometheus.yml").write_text(
            "scrape_configs:\n- job_name: bullmq\n  scrape_interval: 1s\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{running.port}']}}]\n"
        )
        process = subprocess.Popen(
            [
                prometheus,
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: ask(port, "up") == {"": 1.0}, 20, "Prometheus has scraped")
            total = 'sum by (queue) (bullmq_queue_jobs{state=~"waiting|prioritized"})'
            assert ask(port, total) == {"mail": 42.0, 'quo"ted\nline': 1.0, "ünï": 1.0}
            assert ask(port, "bullmq_up") == {"": 1.0}
            kinds = metadata(port, "bullmq_redis_commands_processed_total")
            assert kinds == ["counter"]
        finally:
            process.kill()
            process.wait()


def ask(port: int, query: str) -> dict[str, float]:
    """The instant vector by the label `queue`."""
    found = get(port, "query", query=query)["data"]["result"] if port else []
    return {row["metric"].get("queue", ""): float(row["value"][1]) for row in found}


def metadata(port: int, metric: str) -> list[str]:
    found = get(port, "metadata")["data"]
    name = metric if metric in found else metric.removesuffix("_total")
    return [entry["type"] for entry in found[name]]


def get(port: int, what: str, **parameters: str) -> Any:
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{what}?{query}") as answer:
            return json.load(answer)
    except OSError:
        return {"data": {"result": []}}
