"""Every scenario of the demo fires its alerts, by a real Prometheus at a real Alertmanager."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.scenarios import SCENARIOS
from tests.support.command import command
from tests.support.daemon import environment
from tests.support.requirements import require
from tests.support.servers import free_port
from tests.support.waiting import wait_for

Alert = tuple[str, str]
"""Name without BullMQ, and what it is about: a queue, a connection or a pair."""

EXPECTED: dict[str, set[Alert]] = {
    "healthy": set(),
    "busy": {("BacklogGrowing", "images"), ("JobsWaitingTooLong", "images")},
    "failing": {("HighFailureRatio", "payments"), ("VeryHighFailureRatio", "payments")},
    "stuck": {
        ("QueueBlocked", "reports"),
        ("JobsWaitingTooLong", "reports"),
        ("QueueNotDraining", "reports"),
        ("DelayedJobsOverdue", "reports"),
    },
    "isolation": {
        ("WorkerIsolation", "emails"),
        ("QueueBlocked", "emails"),
        ("NoWorkers", "emails"),
        ("SyncTestFailing", "api worker"),
        ("SyncTestFailing", "worker api"),
    },
    "paused": {("QueuePausedTooLong", "emails")},
    "outage": {("RedisUnreachable", "default")},
}
"""What must fire."""
ABOUT = {
    "busy": {"images"},
    "failing": {"payments"},
    "stuck": {"reports"},
    "paused": {"emails"},
    "outage": {"default"},
}
"""Everything else that fires must be about the same."""


@dataclass
class Running:
    """A demo with Prometheus and Alertmanager."""

    process: subprocess.Popen[str]
    log: Path
    started: float

    def page(self, name: str) -> str:
        """Where it says that this is."""
        match = re.search(rf"{name}: (http://[\d.:]+)/", self.log.read_text())
        assert match, self.log.read_text()
        return match[1]

    def at_alertmanager(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.page('Alertmanager')}/api/v2/alerts") as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def firing(self) -> set[Alert]:
        assert self.process.poll() is None, self.log.read_text()
        return {
            (name_of(alert["labels"]), about(alert["labels"])) for alert in self.at_alertmanager()
        }


def name_of(labels: dict[str, str]) -> str:
    return labels["alertname"].removeprefix("BullMQ")


def about(labels: dict[str, str]) -> str:
    pair = f"{labels.get('writer', '')} {labels.get('reader', '')}".strip()
    return labels.get("queue") or pair or labels.get("connection", "")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """All scenarios at once, since most of their time is waiting."""
    require("prometheus")
    require("prometheus-alertmanager")
    demos = {}
    try:
        for name in SCENARIOS:
            folder = tmp_path_factory.mktemp(name)
            log = folder / "log"
            listen = f"127.0.0.1:{free_port()}"
            with log.open("w") as out:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "exporter", "demo", "--prometheus"),
                        *("--scenario", name, "--listen", listen),
                    ],
                    env=environment({"TMPDIR": str(folder)}),
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            demos[name] = Running(process, log, time.monotonic())
        for demo in demos.values():
            wait_for(lambda log=demo.log: "Ctrl-C" in log.read_text(), f"started: {demo.log}")
        yield demos
    finally:
        for demo in demos.values():
            demo.process.terminate()
        for demo in demos.values():
            assert demo.process.wait(timeout=20) == 0


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "healthy"])
def test_a_scenario_fires_its_alerts(scenario: str, running: dict[str, Running]) -> None:
    demo = running[scenario]
    wait_for(
        lambda: demo.firing() >= EXPECTED[scenario],
        f"{EXPECTED[scenario]} fire",
    )
    if scenario in ABOUT:
        assert {subject for _, subject in demo.firing()} == ABOUT[scenario]


def test_their_texts_are_whole(running: dict[str, Running]) -> None:
    """No template failed, and each names its queue or connection and leads to its runbook."""
    alerts = [alert for demo in running.values() for alert in demo.at_alertmanager()]
    assert alerts
    for alert in alerts:
        texts, labels = alert["annotations"], alert["labels"]
        assert "<" not in "".join(texts.values()), texts
        for part in about(labels).split():
            assert part in texts["summary"], (labels, texts)
        assert texts["runbook_url"].endswith(f"#{labels['alertname'].lower()}")
        assert texts["dashboard_url"].startswith("/d/bullmq-")
        assert labels["severity"] in {"critical", "warning", "info"}


def test_an_outage_is_over_when_redis_is_back(running: dict[str, Running]) -> None:
    demo = running["outage"]
    wait_for(lambda: not demo.firing(), "nothing fires any more")


def test_healthy_fires_nothing(running: dict[str, Running]) -> None:
    """For longer than the others took, and the rules did run."""
    demo = running["healthy"]
    wait_for(lambda: time.monotonic() - demo.started > 60)
    assert demo.firing() == set()
    with urllib.request.urlopen(f"{demo.page('Prometheus')}/api/v1/rules") as answer:
        groups = json.load(answer)["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert {rule["health"] for rule in rules} == {"ok"}


def test_prometheus_that_is_not_there() -> None:
    done = command("demo", "--prometheus", PATH="/nowhere")
    assert done.returncode == 1
    assert "prometheus is not installed; install it" in done.stderr
    assert "Traceback" not in done.stderr
