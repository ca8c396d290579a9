"""The page of a queue, its JSON, its charts and its commands."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from math import nan
from typing import Any

import pytest
from pydantic import ValidationError

from exporter.bullmq import queue_of
from exporter.collectors.queues import STUCK
from exporter.config.models import Config, Connection
from exporter.connection import Metadata
from exporter.state.failures import FailureClass
from exporter.state.queue_history import Point, QueueHistory, VerdictChange
from exporter.state.schedulers import FirstSchedulers, SchedulerState
from exporter.state.snapshots import Dated, EventFacts, Snapshot
from exporter.state.store import SnapshotStore
from exporter.state.stuck import StuckJob, StuckKind
from exporter.state.workers import Worker, WorkerCount
from exporter.views.find_queue import QueueQuery
from exporter.views.moment import moment_of
from exporter.views.queue_commands import queue_commands, quoted
from exporter.views.recording import record_histories
from exporter.web.background import Known
from exporter.web.queue_detail import queue_health
from exporter.web.status import queue_page
from exporter.web.status.assets import QUEUE_STYLE, STYLE
from exporter.web.status.charts import HEIGHT, WIDTH, charts, marks, trend
from tests.support.factories import config, moment, queue_events, snapshot, stuck
from tests.support.stopped_clock import StoppedClock

MAIL = ("bull", "mail")
HOSTILE = '<img src=x onerror="document.title=1">'
FIRST = FirstSchedulers(
    [b"yearly", b"1000000000000", b"<i>hourly", b"%.0f" % ((time.time() + 5400) * 1000)],
    {b"yearly": SchedulerState.DEAD},
)
PROOF = "all 3 children failed"


def blocked(**columns: Any) -> Snapshot:
    """A queue with everything that a page shows, and no worker."""
    jobs = (StuckJob(StuckKind.PARENT, "4711", 1e9, PROOF),)
    row = {
        **stuck(),
        "worker_alive": 0,
        "active": 0,
        "paused": 0,
        "oldest_waiting_seconds": 400.0,
        "library_version": "bullmq:5.0.0",
        "concurrency_limit": 5,
        "schedulers": 4,
        "schedulers_overdue": 1,
        "schedulers_overdue_seconds": 95.0,
        "oldest_waiting_job": b"<b>77</b>",
        "oldest_active_job": b"9" * 300,
        "first_schedulers": FIRST,
        "events_stream_length": 10021,
        "events_stream_bytes": 2_340_000,
        STUCK[StuckKind.PARENT].name: jobs,
        **columns,
    }
    found = snapshot("api", {MAIL: row, ("bull", "sms"): {}, ("x", "sms"): {}})
    failure = FailureClass(7, 1_000_000, 2_000_000, b"4242", b"timeout after 5 ms")
    each = replace(queue_events(added=9, failed=7), failures={"TimeoutError": failure})
    events = EventFacts({queue_of(*MAIL): each}, 0.0, 0)
    return replace(found, facts={**found.facts, EventFacts: Dated(events, found.at)})


def page(known: Known, **parameters: str) -> tuple[str, int]:
    body, status = queue_page(known, QueueQuery.of(parameters), gzip=False)
    return body.decode(), status


def shown(text: str) -> str:
    """The page's text, without elements."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def test_the_page_says_what_and_why() -> None:
    text, status = page(Known(moment(blocked())), name="mail")
    assert status == 200
    found = shown(text)
    for part in (
        "No worker connected",
        "no worker is connected; start one on this Redis with this prefix",
        "Alert BullMQNoWorkers",
        "explained by another finding",
        "Waiting 7",
        "Oldest ready 7m",
        "parent 4711",
        PROOF,
        "No worker is connected.",
        "TimeoutError 7 failed",
        "Concurrency limit 5",
        "Written by bullmq:5.0.0",
        "10,021 2.2 MiB",
        "1 late, by up to 95s",
        "7m job &lt;b&gt;77&lt;/b&gt;",
        "job 99",
        "yearly dead for",
        "its next job does not exist",
        "&lt;i&gt;hourly next run in",
        "and 2 more",
        "Never, at this rate.",
        "redis-cli -h api -p 6379 HGETALL bull:mail:meta",
        "bullmq-exporter queues --once --filter mail",
    ):
        assert part in found
    assert "9" * 201 not in text
    assert "<script" not in text
    assert "style=" not in text
    assert set(re.findall(r'href="(static/[^"]*)"', text)) == {STYLE.path, QUEUE_STYLE.path}


def test_json_has_the_same() -> None:
    known = Known(moment(blocked()))
    content, status = queue_health(known, QueueQuery("mail"))
    assert status == 200
    found = json.loads(json.dumps(content, allow_nan=False))
    assert found["status"] == "critical"
    assert found["queue"]["reason"] == "no_workers"
    assert found["queue"]["stuck"][0]["proof"] == PROOF
    assert {each["alert"] for each in found["findings"]} >= {"BullMQNoWorkers", "BullMQStuckJobs"}
    assert "BullMQQueueBlocked" in {each["alert"] for each in found["symptoms"]}
    assert found["settings"]["concurrency_limit"] == 5
    first = found["schedulers"].pop("first")
    assert found["schedulers"] == {"total": 4, "overdue": 1, "overdue_seconds": 95}
    assert first[0] == {
        "id": "yearly",
        "state": "dead",
        "due": 1e9,
        "proof": "its next job does not exist",
    }
    assert (first[1]["id"], first[1]["state"], first[1]["proof"]) == ("<i>hourly", "scheduled", "")
    assert (found["oldest_waiting_job"], len(found["oldest_active_job"])) == ("<b>77</b>", 200)
    assert found["scale"]["drains"] is False
    assert found["history"] is None


def test_findings_of_other_queues_are_not_shown() -> None:
    other = snapshot("api", {MAIL: {"paused": 0}, ("bull", "sms"): {**stuck(), "worker_alive": 0}})
    content, _ = queue_health(Known(moment(other)), QueueQuery("mail"))
    assert (content["status"], content["findings"]) == ("ok", [])
    assert content["verdict"] == "No problem found: 0 jobs ready"


def test_a_lost_connection_is_a_finding_of_its_queues(clock: StoppedClock) -> None:
    store = SnapshotStore(["api"])
    up = snapshot("api", {MAIL: {}})
    clock.move(5)
    store.publish(replace(up, up=False, at=up.at + 5, reached_at=up.at))
    content, _ = queue_health(Known(moment_of(store, config("api"))), QueueQuery("mail"))
    assert content["findings"][0]["alert"] == "BullMQRedisUnreachable"
    assert content["status"] == "critical"


@pytest.mark.parametrize(
    ("columns", "status", "said"),
    [
        ({"waiting": None}, "unknown", "The numbers of jobs are unknown"),
        ({"paused": 1, **stuck()}, "info", "paused"),
    ],
)
def test_unknown_and_intended_are_not_well(
    columns: Mapping[str, Any], status: str, said: str
) -> None:
    found = Known(moment(snapshot("api", {MAIL: dict(columns)})))
    content, _ = queue_health(found, QueueQuery("mail"))
    assert content["status"] == status
    assert said in content["verdict"]


def test_a_queue_that_is_watched_has_no_verdict_yet() -> None:
    row = {**stuck(10), "oldest_waiting_seconds": 400.0}
    content, _ = queue_health(Known(moment(snapshot("api", {MAIL: row}))), QueueQuery("mail"))
    # the alert about old jobs needs no verdict
    row["oldest_waiting_seconds"] = 100.0
    young, _ = queue_health(Known(moment(snapshot("api", {MAIL: row}))), QueueQuery("mail"))
    assert content["findings"][0]["alert"] == "BullMQJobsWaitingTooLong"
    assert young["status"] == "unknown"
    assert young["verdict"].startswith("Watching whether jobs move: verdict in 50 s")


def test_workers() -> None:
    worker = Worker("mailer-1", "10.0.3.7:5512", "ioredis 5.11.1", 7200, 3, "bzpopmin", True)
    workers = {MAIL: WorkerCount(3, 1, examples=(worker,))}
    text, _ = page(Known(moment(snapshot("api", {MAIL: {}}, workers=workers))), name="mail")
    found = shown(text)
    assert "3 connected, 1 waiting for a job." in found
    assert "mailer-1 10.0.3.7:5512 ioredis 5.11.1 connected for 2h, waits for a job" in found
    assert "and 2 more" in found


def test_since_when_and_the_last_hour(clock: StoppedClock) -> None:
    store, settings = SnapshotStore(["api"]), config("api")
    for _ in range(10):
        store.publish(blocked())
        record_histories(moment_of(store, settings))
        clock.move(15)
    known = Known(moment_of(store, settings))
    content, _ = queue_health(known, QueueQuery("mail"))
    assert content["since"] == pytest.approx(known.moment.time - 150)
    assert content["history"]["ready"][-10:] == [7] * 10
    assert content["history"]["ready"][0] is None
    assert content["history"]["changes"][0]["reason"] == "no_workers"
    text, _ = page(known, name="mail")
    assert "blocked: no workers" in shown(text)
    assert "Since " in shown(text)
    assert text.count('class="blocked"') == 7  # in six charts, and in the list


def test_a_choice_a_similar_name_and_an_outage() -> None:
    known = Known(moment(blocked()))
    text, status = page(known, name="sms")
    assert status == 300
    assert "queue?connection=api&amp;prefix=x&amp;name=sms" in text
    text, status = page(known, name="mial")
    assert status == 404
    assert "queue?connection=api&amp;prefix=bull&amp;name=mail" in text
    assert page(known, name="zzz")[1] == 404
    down = Known(moment(snapshot("api", {MAIL: {}}, ago=60)))
    text, status = page(down, name="mail")
    assert status == 503
    assert "The queues of api could not be read" in text
    for name, expected in (("sms", 300), ("mial", 404)):
        content, status = queue_health(known, QueueQuery(name))
        assert status == expected
        assert "error" in content
    assert queue_health(down, QueueQuery("mail"))[1] == 503


def test_hostile_names_are_text() -> None:
    known = Known(moment(snapshot("api", {("bull", HOSTILE): stuck()})))
    for name in (HOSTILE, HOSTILE[:-1]):
        text, _ = page(known, name=name)
        assert "<img" not in text
        assert "&lt;img" in text


# --- links ---------------------------------------------------------------------------------------


def with_link(template: str) -> Config:
    return config("api", web={"links": {"Board": template}})


def test_links_have_the_names_encoded() -> None:
    settings = with_link("https://x/{connection}/{prefix}?q={queue}&all")
    queues = {("{bull}", "a/b&c {queue}"): {}}
    known = Known(moment(snapshot("api", queues), settings=settings))
    text, _ = page(known, name="a/b&c {queue}")
    url = "https://x/api/%7Bbull%7D?q=a%2Fb%26c%20%7Bqueue%7D&amp;all"
    assert f'<a href="{url}" rel="noreferrer">Board</a>' in text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("javascript:alert(1)", "begins with https"),
        ("//x/{queue}", "begins with https"),
        ("https://x/ y", "without blanks"),
        ("https://x/{name}", "{name} is no placeholder"),
        ("https://x/{queue", "{ is no placeholder"),
        ("https://x/{queue.name}", "is no placeholder"),
        ("https://x/{}", "{} is no placeholder"),
    ],
)
def test_invalid_links(template: str, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        with_link(template)


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mail", "a b", "it's", "x\n$(id)", "caf\u00e9\u200b", "`id`;#"])
def test_a_shell_reads_the_name_as_one_word(name: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quoted(name)}"], capture_output=True, check=True
    )
    assert done.stdout.decode() == name
    assert quoted(name).isprintable()


@pytest.mark.parametrize(
    ("settings", "address", "said"),
    [
        ({"url": "redis://h:1/2"}, "h:1", "redis-cli -h h -p 1 -n 2 "),
        ({"url": "rediss://u:secret@h:1"}, "h:1", "redis-cli -h h -p 1 --tls --user u --askpass "),
        ({"url": "redis://[::1]:7"}, "[::1]:7", "redis-cli -h ::1 -p 7 "),
        ({"url": "redis://h:1", "cluster": True}, "n:2", "redis-cli -h n -p 2 -c "),
        ({"url": "unix:///run/redis.sock"}, "/run/redis.sock", "redis-cli -s /run/redis.sock "),
    ],
)
def test_the_server_in_commands(settings: dict[str, Any], address: str, said: str) -> None:
    connection = Connection.model_validate(settings)
    metadata = Metadata("api", address, "", "", connection.url.db, 0.0, run_id="", role="master")
    queue = queue_of("bull", "mail")
    first = queue_commands(queue, connection, metadata)[0].text
    assert first == f"{said}HGETALL bull:mail:meta"
    assert "secret" not in str(queue_commands(queue, connection, None))


def test_a_filter_means_only_this_queue() -> None:
    connection = Connection.model_validate({"url": "redis://h"})
    texts = [each.text for each in queue_commands(queue_of("bull", "a*[b]"), connection, None)]
    assert "bullmq-exporter queues --once --filter 'a[*][[]b]'" in texts


# --- charts --------------------------------------------------------------------------------------


def history(*ready: float, age: float = 0.0, changes: tuple[VerdictChange, ...] = ()) -> Any:
    points = tuple(Point(each, 0, 4, 0, 0, nan) for each in ready)
    return QueueHistory(points, 60, age, changes)


def test_a_line_from_left_to_right_with_gaps() -> None:
    ready, *_, workers = charts(history(0, 10, nan, 5))
    xs = [f"{WIDTH * (1 - back / 60):.1f}" for back in (3, 2, 1, 0)]
    top, bottom = "2.0", f"{HEIGHT - 2:.1f}"
    assert ready.line == (
        f"M{xs[0]} {bottom} L{xs[1]} {top}M{xs[3]} {HEIGHT / 2:.1f} L{xs[3]} {HEIGHT / 2:.1f}"
    )
    assert ready.spoken == "Ready jobs in the last hour: 5 now, at most 10, 75% of the hour known"
    assert workers.spoken == "Workers in the last hour: unknown"
    assert (workers.line, workers.now) == ("", "?")


def test_a_line_at_zero_lies_at_the_bottom() -> None:
    ready, *_ = charts(history(0, 0))
    assert {each.split()[1] for each in ready.line[1:].split(" L")} == {f"{HEIGHT - 2:.1f}"}


def test_what_is_older_than_an_hour_is_left_out() -> None:
    ready, *_ = charts(history(100, *[1] * 60, age=30))
    assert ready.most == "1"
    assert [each for each in charts(None) if each.is_known] == []


def test_rates_are_of_a_minute() -> None:
    points = tuple(Point(0, 0, each, 0, 0, 0) for each in (0, 8, 0, 8, 0, nan))
    added = charts(QueueHistory(points, 15, 0.0, ()))[2]
    assert added.most == "4.0"
    assert added.now == "?"


def test_marks_are_where_the_verdict_changed() -> None:
    changes = (VerdictChange(1000, "paused"), VerdictChange(2800, ""))
    found = marks(history(1, changes=changes), 4600)
    assert [(mark.x, mark.reason) for mark in found] == [(0, "paused"), (WIDTH / 2, "")]


def test_a_trend_shows_the_most_of_each_minute() -> None:
    assert trend(None) == trend(history(0, 0)) == trend(history(nan)) == ""
    assert trend(history(0, 10, nan, 5)) == "M56 15 L57 1h.1M59 8h.1", "a gap is unknown"
    points = tuple(Point(ready, 0, 0, 0, 0, 1) for ready in (1, 4, 2, 3, 0, 0, 0, 0))
    assert trend(QueueHistory(points, 15, 0.0, ())) == "M57 1 L58 4 L59 15h.1"


def test_the_growth_of_kept_jobs(clock: StoppedClock) -> None:
    store = SnapshotStore(["api"])
    for minute in range(31):
        clock.move(60)
        store.publish(snapshot(queues={MAIL: {"completed": 90 * minute, "failed": 5}}))
    text = shown(page(Known(moment_of(store, config("api"))), name="mail")[0])
    assert "Completed 2,700 kept, +90 /min Failed 5" in text
