"""promtool and amtool on the rules, their tests and the examples."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.rules import ALERTS
from tests.support.need import need
from tests.support.servers import free_port, wait_for

FOLDER = Path(__file__).parents[2] / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_finds_nothing_in_the_rules() -> None:
    out = run(need("promtool"), "check", "rules", "--lint=all", "bullmq.rules.yml")
    assert "SUCCESS" in out


def test_the_rules_do_what_their_tests_say() -> None:
    run(need("promtool"), "test", "rules", *map(str, TESTS))


def test_every_alert_has_a_firing_and_a_silent_case() -> None:
    found: dict[str, set[bool]] = {}
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            name = test["name"].partition(":")[0]
            for case in test["promql_expr_test"]:
                assert f'alertname="{name}"' in case["expr"]
                found.setdefault(name, set()).add(bool(case["exp_samples"]))
    assert found == {alert.full_name: {True, False} for alert in ALERTS}


def test_the_examples_are_valid() -> None:
    run(need("promtool"), "check", "config", "prometheus.yml")
    run(need("amtool"), "check-config", "alertmanager.yml")


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real one, with the example's configuration."""
    program = need("prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("alertmanager")
    port = free_port()
    arguments = [
        f"--config.file={FOLDER}/alertmanager.yml",
        f"--storage.path={folder}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/api/v2/alerts"
    try:
        wait_for(lambda: _answers(address), 20, f"Alertmanager is ready: {folder}")
        yield address
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address).close()
    except OSError:
        return False
    return True


def alert(name: str, severity: str, job: str, **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": f"BullMQ{name}", "severity": severity, "job": job, **labels}}


def left(alertmanager: str, *alerts: dict[str, Any]) -> set[str]:
    """Which of these alerts of one job are not inhibited."""
    (job,) = {each["labels"]["job"] for each in alerts}
    request = urllib.request.Request(
        alertmanager,
        json.dumps(alerts).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request).close()
    query = f'{alertmanager}?filter=job="{job}"'.replace('"', "%22")

    def decided() -> list[dict[str, Any]] | None:
        with urllib.request.urlopen(query) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        states = {each["status"]["state"] for each in found}
        return found if len(found) == len(alerts) and "unprocessed" not in states else None

    return {
        each["labels"]["alertname"].removeprefix("BullMQ")
        for each in wait_for(decided, 60, "all alerts are dealt with")
        if each["status"]["state"] == "active"
    }


QUEUE = {"connection": "api", "prefix": "bull", "queue": "mail"}
OTHER = QUEUE | {"queue": "other"}


def test_a_redis_that_is_down_explains_its_queues(alertmanager: str) -> None:
    assert left(
        alertmanager,
        alert("RedisUnreachable", "critical", "a", connection="api"),
        alert("CollectionStale", "warning", "a", connection="api", collector="queues"),
        alert("QueueNotDraining", "critical", "a", **QUEUE),
        alert("NoWorkers", "critical", "a", **QUEUE | {"connection": "elsewhere"}),
    ) == {"RedisUnreachable", "NoWorkers"}


def test_isolation_explains_what_waits(alertmanager: str) -> None:
    pair = {"producer_connection": "api", "worker_connection": "worker"}
    assert left(
        alertmanager,
        alert("WorkerIsolation", "critical", "b", prefix="bull", queue="mail", **pair),
        alert("QueueBlocked", "critical", "b", reason="worker_isolated", **QUEUE),
        alert("NoWorkers", "critical", "b", **QUEUE),
        alert("JobsWaitingFarTooLong", "critical", "b", **QUEUE),
        alert("ActiveJobTooLong", "warning", "b", **OTHER),
    ) == {"WorkerIsolation", "ActiveJobTooLong"}


def test_the_worse_of_two_about_the_same_queue(alertmanager: str) -> None:
    assert left(
        alertmanager,
        alert("VeryHighFailureRatio", "critical", "c", **QUEUE),
        alert("HighFailureRatio", "warning", "c", **QUEUE),
        alert("JobsStalled", "warning", "c", **OTHER),
    ) == {"VeryHighFailureRatio", "JobsStalled"}


def test_a_blocked_queue_explains_what_waits(alertmanager: str) -> None:
    assert left(
        alertmanager,
        alert("QueueBlocked", "critical", "d", reason="workers_idle", **QUEUE),
        alert("QueueNotDraining", "critical", "d", **QUEUE),
        alert("NoWorkers", "critical", "d", **OTHER),
    ) == {"QueueBlocked", "NoWorkers"}
