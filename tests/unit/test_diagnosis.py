"""Each rule of the diagnosis, its precedence, and known false alarms."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from exporter.bullmq import Queue, queue_of
from exporter.diagnosis import (
    Database,
    Diagnosis,
    Isolation,
    QueueFacts,
    Reason,
    blocked,
    diagnose,
    known_workers,
    queue_facts,
    reason_of,
)
from exporter.state.workers import WorkerCount, WorkerFacts
from tests.support.tables import queue_table

NOW = 1000.0
BLOCKED_AFTER = 60.0
LONG, BRIEF = NOW - 61, NOW - 59
NONE, IDLE, BUSY = WorkerCount(0, 0), WorkerCount(2, 1), WorkerCount(2, 0)

# a healthy queue with ready work, from which each case differs
FACTS = {
    "waiting": 1,
    "prioritized": 0,
    "delayed": 0,
    "waiting-children": 0,
    "active": 1,
    "paused": 0,
    "rate_limited": 0,
    "library_version": "bullmq:5.0.0",
    "concurrency_limit": None,
    "has_id": 1,
    "worker_alive": 1,
    "active_locked": 1,
    "ready_since": LONG,
    "still_since": LONG,
}


DESERTED = {"active": 0, "worker_alive": 0, "active_locked": None}
"""No worker shows a sign of life."""
LOST = {"worker_alive": 0, "active_locked": 0}
"""A job is active, but no worker holds its lock."""
FIRST = {"ready_since": NOW, "still_since": NOW, "oldest_waiting_seconds": 660.0}
"""The exporter's first poll: a job has been waiting for eleven minutes."""
WINDOW = {"rate_limited": 0, "rate_limit_remaining_seconds": 3000.0}
"""The window of a rate limit that is not reached."""
OWN_LIMIT = {"rate_limited": None, "rate_limit_remaining_seconds": 3000.0}
"""The window of a limit that is set only in the workers."""


def database(
    connection: str = "api",
    workers: WorkerCount | None = BUSY,
    *,
    name: str = "mail",
    prefix: str = "bull",
    role: str = "master",
    unnamed: int = 0,
    refused: str = "",
    **facts: object,
) -> Database:
    queue = queue_of(prefix, name)
    counts: dict[Queue, WorkerCount] = {queue: workers} if workers else {}
    table = queue_table((queue,), [FACTS | facts])
    found = None if workers is None else WorkerFacts(counts, unnamed)
    return Database(connection, role, table, found, refused)


def found(*databases: Database) -> Diagnosis:
    """The diagnosis of all queues, with which that of each queue alone agrees."""
    all_queues = diagnose(databases, NOW, BLOCKED_AFTER)
    for each in databases:
        for row, queue in enumerate(each.table.queues):
            alone = reason_of(databases, each, row, NOW, BLOCKED_AFTER)
            assert alone == all_queues.blocked.get((each.connection, queue))
    return all_queues


def reason(*databases: Database) -> str | None:
    blocked = found(*databases).blocked
    return next((str(why) for (name, _), why in blocked.items() if name == "api"), None)


@pytest.mark.parametrize(
    ("what", "expected", "workers", "facts"),
    [
        # --- each rule
        ("paused", "paused", BUSY, {"paused": 1}),
        ("a rate limit is reached", "rate_limited", IDLE, {"rate_limited": 1, "active": 0}),
        ("the global concurrency is reached", "concurrency_limit", IDLE, {"concurrency_limit": 1}),
        ("no worker", "no_workers", NONE, DESERTED),
        ("idle workers take nothing", "workers_idle", IDLE, {"active": 0}),
        ("busy workers, but no job is held", "workers_idle", BUSY, {"active_locked": 0}),
        ("frozen workers without a job", "workers_idle", BUSY, {"active": 0}),
        # --- precedence: the first rule that applies
        ("paused and without workers", "paused", NONE, {"paused": 1, "worker_alive": 0}),
        ("paused and limited", "paused", IDLE, {"paused": 1, "rate_limited": 1}),
        (
            "limited twice",
            "rate_limited",
            IDLE,
            {"rate_limited": 1, "concurrency_limit": 1},
        ),
        (
            "both lists, and no workers",
            "no_workers",
            NONE,
            DESERTED | {"left_in_paused_since": LONG},
        ),
        # --- unknown workers: stalled-check decides
        ("no CLIENT LIST, and no stalled-check", "no_workers", None, DESERTED),
        ("no CLIENT LIST, a live worker takes nothing", "workers_idle", None, {"active": 0}),
        ("no CLIENT LIST, a live worker works", None, None, {}),
        ("no CLIENT LIST, and liveness unknown", None, None, DESERTED | {"worker_alive": None}),
        ("no CLIENT LIST, and a job is locked", None, None, {"worker_alive": 0}),
        # --- limits of workers that are gone or frozen
        ("at the limit, jobs without a lock", "no_workers", NONE, LOST | {"concurrency_limit": 1}),
        (
            "at the limit, a frozen worker",
            "workers_idle",
            BUSY,
            LOST | {"concurrency_limit": 1},
        ),
        (
            "at the limit, no worker",
            "no_workers",
            NONE,
            DESERTED | {"concurrency_limit": 0},
        ),
        ("limited, no worker", "no_workers", NONE, DESERTED | {"rate_limited": 1}),
        ("limited, and frozen", "workers_idle", BUSY, LOST | {"rate_limited": 1}),
        ("4 of 1,000 used, no worker", "no_workers", NONE, LOST | WINDOW),
        ("4 of 1,000 used, frozen", "workers_idle", BUSY, LOST | WINDOW),
        # --- a limit set in a worker, which is not in Redis
        ("its workers wait", "rate_limited", BUSY, OWN_LIMIT | {"active": 0}),
        ("its workers are gone", "no_workers", NONE, OWN_LIMIT | DESERTED),
        ("its workers are idle", None, IDLE, OWN_LIMIT | {"active": 0}),
        ("its workers are frozen", None, BUSY, OWN_LIMIT | {"active": 0, "worker_alive": 0}),
        ("its worker froze during a job", "workers_idle", BUSY, OWN_LIMIT | LOST),
        (
            "a killed worker's job, and a new worker",
            None,
            BUSY,
            OWN_LIMIT | {"active_locked": 0, "worker_alive": 1},
        ),
        # --- jobs in a list that no worker reads
        ("left in paused", "left_in_paused", IDLE, {"active": 0, "left_in_paused_since": LONG}),
        (
            "left in paused a moment ago",
            "workers_idle",
            IDLE,
            {"active": 0, "left_in_paused_since": BRIEF},
        ),
        (
            "left in paused, while others move",
            "left_in_paused",
            BUSY,
            {"still_since": BRIEF, "left_in_paused_since": LONG},
        ),
        # --- values that Redis refused
        ("pause unknown", None, IDLE, {"active": 0, "paused": None}),
        ("rate limit unknown", None, IDLE, {"active": 0, "rate_limited": None}),
        ("settings unknown", None, IDLE, {"active": 0, "library_version": None}),
        ("no worker, and pause unknown", "no_workers", NONE, DESERTED | {"paused": None}),
        # --- at the first poll
        ("an old job, no worker", "no_workers", NONE, DESERTED | FIRST),
        ("an old job, paused", "paused", BUSY, FIRST | {"paused": 1}),
        ("an old job, an idle worker", None, IDLE, FIRST | {"active": 0}),
        ("an old job, no CLIENT LIST", None, None, DESERTED | FIRST),
        ("a young job, no worker", None, NONE, DESERTED | FIRST | {"oldest_waiting_seconds": 59}),
        ("an old job, a locked job", None, NONE, FIRST | {"worker_alive": 0}),
        ("an old job, liveness unknown", None, NONE, DESERTED | FIRST | {"worker_alive": None}),
        # --- movement is proof
        ("ten jobs a second, no sign", None, NONE, DESERTED | {"still_since": NOW}),
        ("ten jobs a second, no CLIENT LIST", None, None, DESERTED | {"still_since": NOW}),
        # --- false alarms
        ("a long job in every worker", None, BUSY, {}),
        ("new work", None, NONE, {"ready_since": BRIEF, "still_since": BRIEF, "worker_alive": 0}),
        ("work that moved a moment ago", None, BUSY, {"still_since": BRIEF, "active_locked": 0}),
        ("no ready work", None, NONE, {"waiting": 0, "ready_since": None, "still_since": None}),
        ("only delayed work", None, NONE, {"waiting": 0, "delayed": 5, "ready_since": None}),
        ("a worker without a name", None, NONE, DESERTED | {"worker_alive": 1}),
        ("a rate limit that is not reached", None, BUSY, WINDOW),
        ("below the global concurrency", None, BUSY, {"concurrency_limit": 5}),
        ("locks unknown", None, BUSY, {"active_locked": None}),
        (
            "only prioritized work",
            "no_workers",
            NONE,
            DESERTED | {"waiting": 0, "prioritized": 2},
        ),
    ],
)
def test_reason_in_one_database(
    what: str, expected: str | None, workers: WorkerCount | None, facts: dict[str, object]
) -> None:
    assert reason(database(workers=workers, **facts)) == expected, what


@pytest.mark.parametrize(
    ("what", "facts", "expected"),
    [
        ("workers unknown", {"active": 0, "worker_alive": None}, "redis_readonly"),
        ("no sign of a worker", DESERTED, "redis_readonly"),
        ("replicated jobs move", {"still_since": BRIEF}, None),
        ("the first poll", DESERTED | FIRST, None),
        ("paused", {"paused": 1}, "paused"),
    ],
)
def test_reason_on_a_replica(what: str, facts: dict[str, object], expected: str | None) -> None:
    """No worker can take a job from a replica, so its workers are not the reason."""
    assert reason(database(workers=None, role="slave", **facts)) == expected, what


@pytest.mark.parametrize(
    ("what", "workers", "facts", "expected"),
    [
        ("idle workers", IDLE, {"active": 0}, "writes_refused"),
        ("no workers", NONE, DESERTED, "writes_refused"),
        ("the first poll", IDLE, FIRST | {"active": 0}, "writes_refused"),
        ("jobs moved a moment ago", BUSY, {"still_since": BRIEF}, None),
    ],
)
def test_reason_if_writes_are_refused(
    what: str, workers: WorkerCount, facts: dict[str, object], expected: str | None
) -> None:
    assert reason(database(workers=workers, refused="OOM", **facts)) == expected, what


def test_an_unnamed_worker_defers_no_workers_until_the_queue_was_watched() -> None:
    """It blocks like an idle worker; if it belonged to this queue, it would take the job."""
    first = database(workers=NONE, unnamed=1, **(DESERTED | FIRST))
    assert reason(first) is None
    assert reason(database(workers=NONE, unnamed=1, **DESERTED)) == "no_workers"


GHOST = {
    "waiting": 0,
    "active": 0,
    "active_locked": None,
    "worker_alive": 0,
    "has_id": 0,
    "ready_since": None,
    "still_since": None,
}
ORPHAN = DESERTED


class TestIsolation:
    def test_jobs_in_one_database_and_workers_in_another(self) -> None:
        result = found(database(workers=NONE, **ORPHAN), database("worker", IDLE, **GHOST))
        assert result.isolations == (Isolation("bull", "mail", "api", "worker"),)
        assert [str(why) for why in result.blocked.values()] == ["worker_isolated"]

    def test_isolation_is_found_without_client_list(self) -> None:
        """A stalled-check without an ID there, and jobs without a stalled-check here."""
        here = database(workers=None, **ORPHAN)
        there = database("worker", None, **(GHOST | {"worker_alive": 1}))
        assert found(here, there).isolations == (Isolation("bull", "mail", "api", "worker"),)

    @pytest.mark.parametrize(
        ("what", "here", "there"),
        [
            (
                "workers in the producer's database too",
                database(workers=IDLE, active=0),
                database("worker", IDLE, **GHOST),
            ),
            (
                "jobs were added in the other database: two environments",
                database(workers=NONE, **ORPHAN),
                database("worker", IDLE, **(GHOST | {"has_id": 1})),
            ),
            (
                "no workers in the other database either",
                database(workers=NONE, **ORPHAN),
                database("worker", NONE, **GHOST),
            ),
            (
                "another queue",
                database(workers=NONE, **ORPHAN),
                database("worker", IDLE, name="images", **GHOST),
            ),
            (
                "another prefix",
                database(workers=NONE, **ORPHAN),
                database("worker", IDLE, prefix="jobs", **GHOST),
            ),
            (
                "the work is new",
                database(workers=NONE, **ORPHAN, ready_since=BRIEF, still_since=BRIEF),
                database("worker", IDLE, **GHOST),
            ),
            (
                "an unnamed worker in the producer's database",
                database(workers=NONE, **(DESERTED | {"worker_alive": 1})),
                database("worker", IDLE, **GHOST),
            ),
        ],
    )
    def test_no_isolation(self, what: str, here: Database, there: Database) -> None:
        assert found(here, there).isolations == (), what

    def test_a_paused_isolated_queue_is_reported_as_both(self) -> None:
        here = database(workers=NONE, **ORPHAN, paused=1)
        result = found(here, database("worker", IDLE, **GHOST))
        assert [str(why) for why in result.blocked.values()] == ["paused"]
        assert len(result.isolations) == 1

    def test_workers_in_two_other_databases(self) -> None:
        others = (database("w1", IDLE, **GHOST), database("w2", BUSY, **GHOST))
        result = found(database(workers=NONE, **ORPHAN), *others)
        assert [i.worker for i in result.isolations] == ["w1", "w2"]


def random_database(draw: random.Random, connection: str) -> Database:
    """Queues of which any fact may be unknown; other connections have queues of the same names."""
    queues = tuple(queue_of("bull", f"q{number}") for number in range(120))
    since = (None, LONG, BRIEF, NOW - 500, NOW)
    values: dict[str, tuple[object, ...]] = {
        "waiting": (None, 0, 1, 7),
        "prioritized": (None, 0, 3),
        "delayed": (0, 0, 1),
        "waiting-children": (0, 0, 1),
        "active": (None, 0, 0, 2),
        "paused": (None, 0, 0, 0, 1),
        "rate_limited": (None, 0, 1),
        "rate_limit_remaining_seconds": (None, 0.0, 5.0),
        "library_version": (None, "bullmq:6.2.0", "bullmq:5.0.0"),
        "concurrency_limit": (None, None, None, 1, 3),
        "has_id": (None, 0, 1),
        "worker_alive": (None, 0, 1),
        "active_locked": (None, 0, 1),
        "left_in_paused_since": (None,) * 8 + (LONG, BRIEF),
        "ready_since": since,
        "still_since": since,
        "oldest_waiting_seconds": (None, 0.0, 30.0, 660.0),
    }
    empty = dict.fromkeys(("waiting", "prioritized", "delayed", "waiting-children", "active"), 0)
    rows = [
        {name: draw.choice(each) for name, each in values.items()}
        | (empty | {"has_id": 0} if draw.random() < 0.2 else {})
        for _ in queues
    ]
    counts = {queue: draw.choice((NONE, IDLE, BUSY)) for queue in queues if draw.random() < 0.5}
    workers = draw.choice((None, WorkerFacts(counts), WorkerFacts(counts), WorkerFacts(counts, 2)))
    role, refused = draw.choice(("master",) * 5 + ("slave",)), draw.choice(("",) * 5 + ("OOM",))
    return Database(connection, role, queue_table(queues, rows), workers, refused)


def test_all_queues_at_once_are_diagnosed_as_each_alone() -> None:
    """The short cut for rows that are alike leaves out nothing that makes a difference."""
    draw, reasons = random.Random(1), set[str]()  # noqa: S311 - synthetic queues
    for turn in range(15):
        databases = [
            random_database(draw, name) for name in ("api", "jobs")[: 1 + min(turn % 3, 1)]
        ]
        reasons.update(found(*databases).blocked.values())
        for each in databases:
            alone = [
                queue_facts(each, row, NOW, BLOCKED_AFTER).known_workers
                for row in range(len(each.table.queues))
            ]
            totals = [None if workers is None else workers.total for workers in alone]
            assert known_workers(each, NOW, BLOCKED_AFTER) == totals
    assert reasons == set(Reason)


def test_blocked_queues_that_are_alike_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An incident: no queue has a worker. Ages, and numbers of jobs, are no difference."""
    looked = 0

    def count(*arguments: Any) -> QueueFacts:
        nonlocal looked
        looked += 1
        return queue_facts(*arguments)

    monkeypatch.setattr(blocked, "queue_facts", count)
    queues = tuple(queue_of("bull", f"q{number}") for number in range(500))
    rows: list[dict[str, object]] = [
        {**FACTS, **DESERTED, "waiting": 1 + row, "oldest_waiting_seconds": 100.0 + row}
        for row in range(500)
    ]
    rows[7]["paused"] = 1
    database = Database("api", "master", queue_table(queues, rows), WorkerFacts({}))
    diagnosis = diagnose([database], NOW, BLOCKED_AFTER)
    assert Counter(diagnosis.blocked.values()) == {"no_workers": 499, "paused": 1}
    assert known_workers(database, NOW, BLOCKED_AFTER) == [0] * 500
    assert looked == 4
