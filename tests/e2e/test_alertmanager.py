"""The example's inhibitions, by a real Alertmanager: what is left to be told of several alerts."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.alert_tests import FOLDER, firing_labels
from tests.support.requirements import require
from tests.support.servers import free_port
from tests.support.waiting import wait_for

Alert = dict[str, Any]


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of its alerts."""
    program = require("prometheus-alertmanager")
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
        wait_for(lambda: _answers(address), f"Alertmanager is ready: {folder}")
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


@pytest.fixture(autouse=True)
def nothing_fires(alertmanager: str) -> Iterator[None]:
    """What a test has left firing ends with it: inhibitions without `equal` reach everything."""
    yield
    ended = [
        {"labels": each["labels"], "endsAt": each["startsAt"]} for each in now_at(alertmanager)
    ]
    send(alertmanager, ended)
    wait_for(lambda: not now_at(alertmanager), "nothing fires any more")


def send(alertmanager: str, alerts: list[Alert]) -> None:
    body = json.dumps(alerts).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(alertmanager, body, headers)).close()


def now_at(alertmanager: str) -> list[Alert]:
    with urllib.request.urlopen(alertmanager) as answer:
        found: list[Alert] = json.load(answer)
    return found


def alert(name: str, **labels: str) -> Alert:
    """An alert as its rule makes it, but for these labels."""
    return {"labels": firing_labels()[f"BullMQ{name}"] | labels}


def leaves(alertmanager: str, alerts: list[Alert], expected: set[str]) -> None:
    """Fails unless these of the alerts, and no others, come to be told, and stay so.

    Alertmanager takes alerts in one thread and inhibits in another, so one look is not enough.
    """
    send(alertmanager, alerts)
    seen: list[set[str]] = []

    def settled() -> bool:
        found = now_at(alertmanager)
        seen.append({name(each) for each in found if each["status"]["state"] == "active"})
        return len(found) == len(alerts) and len(seen) > 10 and seen[-10:] == [expected] * 10

    try:
        wait_for(settled)
    except AssertionError:
        assert seen[-1] == expected
        raise


def name(each: Alert) -> str:
    labels = each["labels"]
    return labels["alertname"].removeprefix("BullMQ") + labels.get("of", "")


def test_without_an_exporter_nothing_else_is_known(alertmanager: str) -> None:
    others = [alert("JobsStalled"), alert("SyncTestFailing"), alert("RedisUnreachable")]
    leaves(alertmanager, [alert("ExporterAbsent"), *others], {"ExporterAbsent"})


def test_which_exporter_is_down_says_more(alertmanager: str) -> None:
    pair = [alert("ExporterDown"), alert("ExporterAbsent")]
    leaves(alertmanager, pair, {"ExporterDown"})


def test_one_of_two_exporters_that_is_down_hides_nothing(alertmanager: str) -> None:
    pair = [alert("ExporterDown"), alert("NoWorkers")]
    leaves(alertmanager, pair, {"ExporterDown", "NoWorkers"})


def test_a_redis_that_is_down_explains_all_that_is_about_it(alertmanager: str) -> None:
    about = [labels for labels in firing_labels().values() if labels.get("connection") == "api"]
    assert len(about) > 15
    alerts = [
        *({"labels": labels} for labels in about),
        alert("QueueNotDraining", connection="elsewhere", of=" elsewhere"),
        alert("RedisUnreachable", connection="elsewhere", job="other", of=" of another job"),
        alert("SyncTestFailing"),
    ]
    leaves(
        alertmanager,
        alerts,
        {
            "RedisUnreachable",
            "QueueNotDraining elsewhere",
            "RedisUnreachable of another job",
            "SyncTestFailing",
        },
    )


def test_isolation_explains_what_waits(alertmanager: str) -> None:
    alerts = [
        alert("WorkerIsolation"),
        alert("QueueBlocked", reason="worker_isolated"),
        alert("QueueBlocked", reason="workers_idle", connection="third", of=" in a third Redis"),
        alert("NoWorkers"),
        alert("JobsWaitingFarTooLong"),
        alert("ActiveJobTooLong", queue="other"),
    ]
    leaves(
        alertmanager,
        alerts,
        {"WorkerIsolation", "QueueBlocked in a third Redis", "ActiveJobTooLong"},
    )


def test_a_blocked_queue_explains_what_waits(alertmanager: str) -> None:
    alerts = [
        alert("QueueBlocked", reason="no_workers"),
        alert("NoWorkers"),
        alert("QueueNotDraining"),
        alert("DelayedJobsOverdue"),
        alert("NoWorkers", queue="other", of=" of another queue"),
    ]
    leaves(alertmanager, alerts, {"QueueBlocked", "NoWorkers of another queue"})


def test_the_worse_of_two_about_the_same_queue(alertmanager: str) -> None:
    alerts = [
        alert("VeryHighFailureRatio"),
        alert("HighFailureRatio"),
        alert("JobsStalled", queue="other"),
    ]
    leaves(alertmanager, alerts, {"VeryHighFailureRatio", "JobsStalled"})


def test_a_redis_that_fills_up_hides_nothing_else_of_it(alertmanager: str) -> None:
    """Labels that both lack are equal to Alertmanager: these have neither prefix nor queue."""
    three = ["RedisMemoryNearLimit", "RedisEvictionPolicyUnsafe", "CollectionErrors"]
    leaves(alertmanager, [alert(each) for each in three], set(three))
