"""`/scale`, and the same numbers as metrics."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from exporter.bullmq import Queue, queue_of
from exporter.config.models import Config
from exporter.diagnosis.drain import Outlook, outlook
from exporter.exposition import Format, Renderer, Variant
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Dated, EventFacts, Histogram, JobEvents, QueueEvents
from exporter.state.store import SnapshotStore
from exporter.state.workers import WorkerCount
from exporter.views import scaling as scaling_views
from exporter.views.find_queue import QueueQuery, find_queue, similar_queues
from exporter.views.moment import Moment, moment_of
from exporter.views.parameters import QueryError
from exporter.views.recording import record_histories
from exporter.views.scaling import OutlookCache, scaling
from exporter.web import Users, application
from exporter.web.background import Known
from exporter.web.scale import ScaleQuery, scale
from tests.support.factories import config, moment, snapshot, stuck
from tests.support.pages import parse, value
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import LIMIT_SECONDS

Columns = Mapping[str, Any]
MAIL = ("bull", "mail")
KNOWN: Columns = {
    "paused": 0,
    "library_version": "bullmq:5.0.0",
    "delayed_overdue_jobs": 0,
    "active": 2,
    "oldest_waiting_seconds": 30.0,
}


class Polled:
    """An exporter whose polls and pages a test makes, five seconds apart."""

    def __init__(self, clock: StoppedClock, settings: Config | None = None) -> None:
        self.settings = settings or config("api")
        self._clock = clock
        self.store = SnapshotStore(["api"])
        self.renderer = Renderer(self.store, lambda: self.settings)

    def poll(self, ready: int | None, added: int, done: int, **columns: Any) -> None:
        """A poll with these totals; every job has run for half a second."""
        run = Histogram((1.0,), (done,), 0.5 * done, done)
        jobs = JobEvents(added, done, done, 0, 0, 0, 0, 0, run, {"completed": run})
        events = EventFacts({queue_of(*MAIL): QueueEvents(added + done, 0, {"": jobs})}, 0.0, 0)
        workers = columns.pop("workers", WorkerCount(2, 0))
        row = {**KNOWN, "waiting": ready, "ready_since": None, **columns}
        found = snapshot("api", {MAIL: row}, workers={MAIL: workers} if workers else {})
        facts = {**found.facts, EventFacts: Dated(events, found.at)}
        self.store.publish(replace(found, facts=facts))
        self.renderer.render()
        self._clock.move(5)

    def drain(self, polls: int = 60, **columns: Any) -> None:
        """From 1,000 ready jobs: a job a second is added, and two are done."""
        for number in range(polls):
            self.poll(1000 - 5 * number, 5 * number, 10 * number, **columns)

    def asked(self, **parameters: str) -> dict[str, Any]:
        found = Known(moment_of(self.store, self.settings))
        content, status = scale(found, ScaleQuery.of({"queue": "mail", **parameters}))
        assert status == 200
        assert len(json.dumps(content, indent=2)) < 1000
        return content

    def sample(self, name: str) -> float | None:
        page = self.renderer.body(Variant(Format.TEXT, gzip=False)).decode()
        samples = parse(page)
        if not any(each == name for each, _ in samples):
            return None
        return value(samples, name, connection="api", prefix="bull", queue="mail")


@pytest.fixture
def polled(clock: StoppedClock) -> Polled:
    return Polled(clock)


def test_a_backlog_that_drains(polled: Polled) -> None:
    polled.drain()
    found = polled.asked()
    assert found == {
        "ready": 705,
        "active": 2,
        "workers": 2,
        "oldest_seconds": 30,
        "arrival_rate": pytest.approx(1, rel=0.05),
        "finish_rate": pytest.approx(2, rel=0.05),
        "mean_run_seconds": 0.5,
        "drain_seconds": pytest.approx(705, rel=0.05),
        "drains": True,
        "target_drain_seconds": 600,
        "workers_needed": 3,
        "blocked": None,
        "more_workers_help": True,
        "obstacle": None,
        "rests_on_seconds": pytest.approx(285, abs=15),
    }
    assert polled.asked(drain_seconds="100")["workers_needed"] == 9
    assert polled.sample("bullmq_queue_workers_needed") == 3
    assert polled.sample("bullmq_queue_drain_seconds") == pytest.approx(705, rel=0.05)


def test_the_target_of_the_configuration(clock: StoppedClock) -> None:
    polled = Polled(clock, config("api", scaling={"drain_seconds": 100}))
    polled.drain()
    assert polled.asked()["workers_needed"] == 9
    assert polled.sample("bullmq_queue_workers_needed") == 9


def test_nothing_is_known_after_a_start(polled: Polled) -> None:
    polled.drain(polls=3)
    found = polled.asked()
    assert (found["drain_seconds"], found["drains"], found["rests_on_seconds"]) == (None,) * 3
    assert polled.sample("bullmq_queue_drain_seconds") is None


def test_never(polled: Polled) -> None:
    for number in range(60):
        polled.poll(1000 + 5 * number, 15 * number, 10 * number)
    found = polled.asked()
    assert (found["drain_seconds"], found["drains"]) == (None, False)
    assert polled.sample("bullmq_queue_drain_seconds") == float("inf")


def test_an_empty_queue_needs_no_workers(polled: Polled) -> None:
    for _ in range(20):
        polled.poll(0, 5, 5, active=0, workers=WorkerCount(2, 2))
    found = polled.asked()
    assert (found["drain_seconds"], found["drains"], found["workers_needed"]) == (0, True, 0)
    assert polled.sample("bullmq_queue_drain_seconds") == 0
    assert polled.sample("bullmq_queue_workers_needed") == 0


@pytest.mark.parametrize(
    ("obstacle", "columns"),
    [
        ("paused", {"paused": 1}),
        ("rate_limited", {"rate_limited": 1}),
        ("concurrency_limit", {"concurrency_limit": 2}),
    ],
)
def test_more_workers_do_not_help(polled: Polled, obstacle: str, columns: Columns) -> None:
    polled.drain(**columns)
    found = polled.asked(drain_seconds="1")
    assert found["obstacle"] == obstacle
    assert found["more_workers_help"] is False
    assert found["workers_needed"] == 2
    assert polled.sample("bullmq_queue_workers_needed") == 2


def test_frozen_workers_need_no_company(polled: Polled) -> None:
    since = time.monotonic()
    columns = {
        **stuck(0),
        "ready_since": since,
        "still_since": since,
        "active": 0,
        "worker_alive": 1,
        "rate_limited": 0,
    }
    for _ in range(20):
        polled.poll(7, 0, 0, **{**columns, "waiting": 7, "workers": WorkerCount(2, 1)})
    found = polled.asked(drain_seconds="1")
    assert found["blocked"] == found["obstacle"] == "workers_idle"
    assert (found["workers_needed"], found["drains"]) == (2, False)


def test_a_queue_without_workers_needs_one(polled: Polled) -> None:
    since = time.monotonic()
    columns = {**stuck(0), "ready_since": since, "still_since": since, "worker_alive": 0}
    for _ in range(20):
        polled.poll(7, 0, 0, **{**columns, "waiting": 7, "workers": None, "active": 0})
    found = polled.asked()
    assert (found["blocked"], found["obstacle"]) == ("no_workers", None)
    assert (found["workers"], found["workers_needed"], found["drains"]) == (0, 1, False)


def test_whether_a_queue_is_paused_is_unknown(polled: Polled) -> None:
    polled.drain(paused=None)
    found = polled.asked()
    assert (found["more_workers_help"], found["workers_needed"]) == (None, None)
    assert polled.sample("bullmq_queue_workers_needed") is None


def test_an_outage_withdraws_the_numbers(polled: Polled, clock: StoppedClock) -> None:
    polled.drain()
    clock.move(60)
    found = Known(moment_of(polled.store, polled.settings))
    content, status = scale(found, ScaleQuery.of({"queue": "mail"}))
    assert status == 503
    assert content == {"error": "the queues of api are not known now"}


# --- which queue ---------------------------------------------------------------------------------


def two_connections() -> Known:
    queues = {("bull", "mail"): {}, ("bull", "sms"): {}, ("x", "sms"): {}}
    return Known(moment(snapshot("api", queues), snapshot("worker", {("bull", "mail"): {}})))


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"queue": "mail"}, 300),
        ({"queue": "mail", "connection": "worker"}, 200),
        ({"queue": "sms"}, 300),
        ({"queue": "sms", "prefix": "x"}, 200),
        ({"name": "sms", "prefix": "x", "connection": "api"}, 200),
        ({"queue": "sms", "connection": "worker"}, 404),
        ({"queue": "Mail"}, 404),
    ],
)
def test_which_queue_is_meant(parameters: Mapping[str, str], status: int) -> None:
    content, found = scale(two_connections(), ScaleQuery.of(parameters))
    assert found == status
    assert ("error" in content) is (status != 200)


def test_a_connection_whose_queues_another_one_reads() -> None:
    api = snapshot("api", {MAIL: {}})
    known = Known(moment(api, snapshot("worker", metadata=api.metadata)))
    assert scale(known, ScaleQuery.of({"queue": "mail", "connection": "worker"}))[1] == 200


def test_a_connection_that_has_not_been_tried() -> None:
    known = Known(moment(snapshot("api", {MAIL: {}}), connections=["api", "worker"]))
    assert scale(known, ScaleQuery.of({"queue": "mail"}))[1] == 200
    assert scale(known, ScaleQuery.of({"queue": "sms"}))[1] == 503
    assert scale(known, ScaleQuery.of({"queue": "sms", "connection": "api"}))[1] == 404


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "name: the name of a queue is required"),
        ({"queue": "a", "foo": "1"}, "foo: unknown parameter"),
        ({"queue": "a" * 3000}, "longer than"),
        *(
            ({"queue": "a", "drain_seconds": each}, "drain_seconds: use a number")
            for each in ("0", "-1", "x", "inf", "nan", "1e9")
        ),
    ],
)
def test_invalid_queries(parameters: Mapping[str, str], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        ScaleQuery.of(parameters)


def test_similar_names() -> None:
    queues = {("bull", name): {} for name in ("mail", "mail-high", "sms", "Push_jobs")}
    found = moment(snapshot("api", queues))

    def similar(name: str) -> list[str]:
        return [key[2] for key in similar_queues(found, QueueQuery(name))]

    assert similar("Mail")[0] == "mail"
    assert similar("mial") == ["mail"]
    assert similar("pushjobs") == ["Push_jobs"]
    assert similar("zzzzz") == []
    assert find_queue(found, QueueQuery("mail", "other")).queues == ()
    assert similar_queues(found, QueueQuery("mail", "other"))[0] == ("api", "bull", "mail")


class Changing:
    """Queues of which some change at each poll, and the caches of a page."""

    def __init__(self, clock: StoppedClock) -> None:
        self.draw = random.Random(1)  # noqa: S311 - synthetic queues
        self.clock = clock
        self.settings = config("api")
        self.store = SnapshotStore(["api"])
        self.names = [("bull", f"q{number}") for number in range(30)]
        self.rows: dict[tuple[str, str], dict[str, Any]] = {
            name: {**KNOWN, "waiting": 1000} for name in self.names
        }
        self.events: dict[Queue, QueueEvents] = {}

    def poll(self, changing: int, *, record: bool = True, **columns: tuple[Any, ...]) -> Moment:
        """A poll after that number of queues have taken on some of these values, or new events."""
        for name in self.draw.sample(self.names, changing):
            column = self.draw.choice(tuple(columns))
            self.rows[name][column] = self.draw.choice(columns[column])
            run = Histogram((), (), self.draw.random(), 1)
            done = self.draw.randint(0, 9)
            jobs = JobEvents(done, done, done, 0, 0, 0, 0, 0, run, {"completed": run})
            self.events = {**self.events, queue_of(*name): QueueEvents(done, 0, {"": jobs})}
        workers = {name: WorkerCount(2, 1) for name in self.names[::3]}
        found = snapshot("api", self.rows, workers=workers)
        facts = EventFacts(self.events, 0.0, 0)
        if last := self.store.snapshots():  # as a poller does, while no queue is new
            queues = last[0].facts[QueueTable].facts.queues
            table = replace(found.facts[QueueTable].facts, queues=queues)
            found.facts[QueueTable] = Dated(table, found.at)
        self.store.publish(
            replace(found, facts={**found.facts, EventFacts: Dated(facts, found.at)})
        )
        moment = moment_of(self.store, self.settings)
        if record:
            record_histories(moment)
        self.clock.move(5)
        return moment


RANDOM: Mapping[str, tuple[Any, ...]] = {
    "waiting": (None, 0, 3, 900),
    "active": (None, 0, 2),
    "paused": (None, 0, 1),
    "rate_limited": (None, 0, 1),
    "concurrency_limit": (None, 1, 5),
    "library_version": (None, "bullmq:6.0.0"),
    "delayed_overdue_jobs": (None, 0, 4),
    "ready_since": (None, 0.0),
}


def test_kept_outlooks_are_those_computed_from_scratch(clock: StoppedClock) -> None:
    changing, cache = Changing(clock), OutlookCache()
    for poll in range(60):
        # from poll 40 on, points become too old
        moment = changing.poll(poll % 4, record=not 40 <= poll < 50, **RANDOM)
        database, workers = moment.databases[0], moment.worker_totals["api"]
        alone = [
            scaling(moment, database, row, moment.config.scaling.drain_seconds).outlook
            for row in range(len(changing.names))
        ]
        assert cache.outlooks(moment, database, workers) == alone


def test_only_outlooks_of_queues_that_changed_are_computed(
    clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing, cache, computed = Changing(clock), OutlookCache(), 0

    def count(*arguments: Any) -> Outlook:
        nonlocal computed
        computed += 1
        return outlook(*arguments)

    monkeypatch.setattr(scaling_views, "outlook", count)
    seen = []
    for queues in (0, 0, 7, 30):
        moment = changing.poll(queues, waiting=(5, 6))
        computed = 0
        found = cache.outlooks(moment, moment.databases[0], moment.worker_totals["api"])
        seen.append((computed, found))
    counts = [number for number, _ in seen]
    assert counts[0] == counts[3] == 30
    assert counts[1:3] == [0, 7]
    assert seen[0][1] is seen[1][1]


def test_it_does_not_wait_for_the_responses_about_all_queues() -> None:
    """These take long with thousands of queues, and an autoscaler asks every few seconds."""
    store = SnapshotStore(["api"])
    store.publish(snapshot("api", {MAIL: {}}))
    settings, gate = config("api"), threading.Event()

    def current() -> Config:
        if threading.current_thread().name.startswith("responses"):
            gate.wait(LIMIT_SECONDS)
        return settings

    renderer = Renderer(store, lambda: settings)
    app = application(current, store, renderer, Users({}), Future, lambda: None)

    async def ask(path: str, query: str = "") -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        await app(scope | {"query_string": query.encode()}, receive, send)
        return int(sent[0]["status"])

    async def both() -> None:
        slow = asyncio.create_task(ask("/health/queues"))
        await asyncio.sleep(0)  # it has begun
        assert await ask("/scale", "queue=mail") == 200
        assert not slow.done()
        gate.set()
        assert await slow == 200

    asyncio.run(both())
