"""What the compose file starts, without containers: Prometheus's configuration and the traffic."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.compose import SERVICES, command, mounts
from tests.support.daemon import daemon
from tests.support.pages import jobs, value
from tests.support.requirements import require
from tests.support.servers import Server
from tests.support.waiting import LIMIT_SECONDS, wait_for

CONFIG = """
poll: {interval_seconds: 0.5}
queues: {discovery_interval_seconds: 0.5}
"""


def test_the_mounted_prometheus_configuration_is_valid(tmp_path: Path) -> None:
    for target, source in mounts("prometheus").items():
        assert Path(target).parent == Path("/etc/prometheus")
        shutil.copy(source, tmp_path / Path(target).name)
    done = subprocess.run(
        [require("promtool"), "check", "config", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


@pytest.fixture
def traffic(server: Server) -> Iterator[None]:
    """The demo's services, run on that server in this environment."""
    compose_url = SERVICES["exporter"]["environment"]["REDIS_URL"]
    processes = []
    try:
        for service in (name for name in SERVICES if name.startswith("demo-")):
            _, *words = command(service)
            here = [server.url if word == compose_url else word for word in words]
            processes.append(subprocess.Popen([sys.executable, *here]))
        yield
    finally:
        for process in processes:
            process.terminate()
        assert [process.wait(timeout=LIMIT_SECONDS) for process in processes] == [0] * len(
            processes
        )


def test_every_demo_queue_completes_jobs(traffic: None, server: Server, tmp_path: Path) -> None:
    with daemon(tmp_path, CONFIG, REDIS_URL=server.url) as running:

        def flows() -> bool:
            samples = running.samples()
            done = jobs(samples)
            return all(
                done.get((queue, "completed"), 0) > 0
                and value(samples, "bullmq_queue_workers", queue=queue) == 1
                for queue in ("emails", "images", "albums", "payments", "reports")
            )

        wait_for(flows, "jobs of every queue are completed by its worker")
