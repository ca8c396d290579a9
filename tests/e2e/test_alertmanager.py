"""Grouping and inhibition of the example configuration in a real Alertmanager."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from tests.support.alert_tests import FOLDER, firing_labels
from tests.support.requirements import require
from tests.support.servers import free_port
from tests.support.waiting import wait_for

Alert = dict[str, Any]


class Pager(ThreadingHTTPServer):
    """The receiver of critical alerts; records every notification in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.notifications: list[list[Alert]] = []


class _Receive(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Pager)
        self.server.notifications.append(body["alerts"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Do not log; the notifications are recorded."""


@pytest.fixture(scope="module")
def pager() -> Iterator[Pager]:
    with Pager() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory, pager: Pager) -> Iterator[str]:
    """The address of its alerts. It runs the example with `pager` as the receiver."""
    program = require("prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("alertmanager")
    port = free_port()
    example = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    example["route"] |= {"group_wait": "3s", "group_interval": "1h"}
    webhook = {"url": f"http://127.0.0.1:{pager.server_port}/", "send_resolved": False}
    (receiver,) = (each for each in example["receivers"] if each["name"] == "pager")
    receiver["webhook_configs"] = [webhook]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(example))
    arguments = [
        f"--config.file={folder}/alertmanager.yml",
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
    """Resolve all alerts after a test: inhibitions without `equal` would affect other tests."""
    yield
    ended = [
        {"labels": each["labels"], "endsAt": each["startsAt"]} for each in now_at(alertmanager)
    ]
    send(alertmanager, ended)
    wait_for(lambda: not now_at(alertmanager), "no alert fires")


def send(alertmanager: str, alerts: list[Alert]) -> None:
    body = json.dumps(alerts).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(alertmanager, body, headers)).close()


def now_at(alertmanager: str) -> list[Alert]:
    with urllib.request.urlopen(alertmanager) as answer:
        found: list[Alert] = json.load(answer)
    return found


def alert(name: str, **labels: str) -> Alert:
    """An alert as its rule creates it, except for these labels."""
    return {"labels": {**firing_labels()[f"BullMQ{name}"], **labels}}


def about_one_redis() -> list[Alert]:
    """Every alert about only the connection `api`, or a queue of it."""
    return [
        {"labels": labels}
        for labels in firing_labels().values()
        if labels.get("connection") == "api" and "worker_connection" not in labels
    ]


def assert_notified(alertmanager: str, alerts: list[Alert], expected: set[str]) -> None:
    """Assert that exactly the expected ones of the alerts are notified, and stay so.

    Alertmanager receives and inhibits alerts in separate threads, so one check is not enough.
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


def test_exporter_absent_inhibits_everything_else(alertmanager: str) -> None:
    others = [alert("JobsStalled"), alert("SyncTestFailing"), alert("RedisUnreachable")]
    assert_notified(alertmanager, [alert("ExporterAbsent"), *others], {"ExporterAbsent"})


def test_exporter_down_inhibits_exporter_absent(alertmanager: str) -> None:
    pair = [alert("ExporterDown"), alert("ExporterAbsent")]
    assert_notified(alertmanager, pair, {"ExporterDown"})


def test_exporter_down_inhibits_no_other_alert(alertmanager: str) -> None:
    pair = [alert("ExporterDown"), alert("NoWorkers")]
    assert_notified(alertmanager, pair, {"ExporterDown", "NoWorkers"})


def test_redis_unreachable_inhibits_every_alert_about_it(alertmanager: str) -> None:
    about = about_one_redis()
    assert len(about) > 15
    alerts = [
        *about,
        alert("QueueNotDraining", connection="elsewhere", of=" elsewhere"),
        alert("RedisUnreachable", connection="elsewhere", job="other", of=" of another job"),
        alert("SyncTestFailing"),
    ]
    assert_notified(
        alertmanager,
        alerts,
        {
            "RedisUnreachable",
            "QueueNotDraining elsewhere",
            "RedisUnreachable of another job",
            "SyncTestFailing",
        },
    )


def test_worker_isolation_inhibits_alerts_about_its_waiting_jobs(alertmanager: str) -> None:
    alerts = [
        alert("WorkerIsolation"),
        alert("QueueBlocked", reason="worker_isolated"),
        alert("QueueBlocked", reason="workers_idle", connection="third", of=" in a third Redis"),
        alert("NoWorkers"),
        alert("JobsWaitingFarTooLong"),
        alert("ActiveJobTooLong", queue="other"),
    ]
    assert_notified(
        alertmanager,
        alerts,
        {"WorkerIsolation", "QueueBlocked in a third Redis", "ActiveJobTooLong"},
    )


def test_missing_workers_inhibit_alerts_about_waiting_jobs(alertmanager: str) -> None:
    alerts = [
        alert("QueueBlocked", reason="no_workers"),
        alert("NoWorkers"),
        alert("QueueNotDraining"),
        alert("DelayedJobsOverdue"),
        alert("NoWorkers", queue="other", of=" of another queue"),
    ]
    assert_notified(alertmanager, alerts, {"NoWorkers", "NoWorkers of another queue"})
    blocked = [alert("QueueBlocked", queue="idle"), alert("QueueNotDraining", queue="idle")]
    assert_notified(
        alertmanager,
        [*alerts, *blocked],
        {"NoWorkers", "NoWorkers of another queue", "QueueBlocked"},
    )


def test_the_more_severe_alert_about_a_queue_inhibits_the_other(alertmanager: str) -> None:
    alerts = [
        alert("VeryHighFailureRatio"),
        alert("HighFailureRatio"),
        alert("JobsStalled", queue="other"),
    ]
    assert_notified(alertmanager, alerts, {"VeryHighFailureRatio", "JobsStalled"})


def test_worker_isolation_inhibits_the_sync_test_of_its_pair(alertmanager: str) -> None:
    """In both directions, but not of another pair."""
    alerts = [
        alert("WorkerIsolation"),
        alert("SyncTestFailing"),
        alert("SyncTestFailing", writer="worker", reader="api", of=" back"),
        alert("SyncTestFailing", reader="mail", connections="api,mail", of=" of another pair"),
    ]
    assert_notified(alertmanager, alerts, {"WorkerIsolation", "SyncTestFailing of another pair"})


def pages(alertmanager: str, pager: Pager, job: str, alerts: list[Alert]) -> list[list[str]]:
    """The names of the alerts in each notification about the job; waits for the first one.

    Groups wait equally long, so the notification of a later alert proves that no other will follow.
    If the machine pauses meanwhile, both are sent at once, in any order.
    """
    send(alertmanager, [{"labels": each["labels"] | {"job": job}} for each in alerts])
    wait_for(lambda: len(now_at(alertmanager)) == len(alerts), "the alerts are received")
    last = alert("PageNotRendered", job=f"after-{job}")
    send(alertmanager, [last])

    def jobs() -> list[str]:
        return [sent[0]["labels"]["job"] for sent in pager.notifications]

    wait_for(lambda: {job, last["labels"]["job"]} <= set(jobs()), "both notifications")
    return [
        [name(each) for each in sent]
        for sent in pager.notifications
        if sent[0]["labels"]["job"] == job
    ]


def test_stopped_workers_of_many_queues_cause_one_notification(
    alertmanager: str, pager: Pager
) -> None:
    symptoms = ("JobsWaitingTooLong", "JobsWaitingFarTooLong", "QueueNotDraining", "BacklogGrowing")
    alerts = [
        alert(each, queue=f"queue-{number}", reason="no_workers")
        for number in range(60)
        for each in ("NoWorkers", "QueueBlocked", *symptoms, "DelayedJobsOverdue")
    ]
    assert pages(alertmanager, pager, "fleet", alerts) == [["NoWorkers"] * 60]


def test_an_unreachable_redis_causes_one_notification(alertmanager: str, pager: Pager) -> None:
    assert pages(alertmanager, pager, "down", about_one_redis()) == [["RedisUnreachable"]]


def test_isolated_workers_cause_one_notification(alertmanager: str, pager: Pager) -> None:
    alerts = [
        *(alert("WorkerIsolation", queue=queue) for queue in ("mail", "images")),
        *(alert("NoWorkers", queue=queue) for queue in ("mail", "images")),
        *(alert("QueueBlocked", queue=queue) for queue in ("mail", "images")),
        alert("SyncTestFailing"),
        alert("SyncTestFailing", writer="worker", reader="api"),
    ]
    assert pages(alertmanager, pager, "isolated", alerts) == [["WorkerIsolation"] * 2]


def test_alerts_about_a_full_redis_do_not_inhibit_each_other(alertmanager: str) -> None:
    """Labels that both alerts lack count as equal; these have neither prefix nor queue."""
    three = ["RedisMemoryNearLimit", "RedisEvictionPolicyUnsafe", "CollectionErrors"]
    assert_notified(alertmanager, [alert(each) for each in three], set(three))
