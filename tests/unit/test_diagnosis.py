"""Every rule of the diagnosis, every tie, every false alarm; by name."""

from __future__ import annotations

import pytest

from exporter.bullmq import Queue, queue_of
from exporter.diagnosis import Database, Diagnosis, Isolation, diagnose
from exporter.state.snapshots import WorkerCount, WorkerFacts
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
    "rate_limited": None,
    "concurrency_limit": None,
    "has_id": 1,
    "worker_alive": 1,
    "active_locked": 1,
    "ready_since": LONG,
    "still_since": LONG,
}


def database(
    connection: str = "api",
    workers: WorkerCount | None = BUSY,
    *,
    name: str = "mail",
    prefix: str = "bull",
    role: str = "master",
    **facts: object,
) -> Database:
    queue = queue_of(prefix, name)
    counts: dict[Queue, WorkerCount] = {queue: workers} if workers else {}
    table = queue_table((queue,), [FACTS | facts])
    return Database(connection, role, table, None if workers is None else WorkerFacts(counts))


def found(*databases: Database) -> Diagnosis:
    return diagnose(databases, NOW, BLOCKED_AFTER)


def reason(*databases: Database) -> str | None:
    blocked = found(*databases).blocked
    return next((str(why) for (name, _), why in blocked.items() if name == "api"), None)


@pytest.mark.parametrize(
    ("what", "expected", "workers", "facts"),
    [
        # --- every rule
        ("paused", "paused", BUSY, {"paused": 1}),
        ("a rate limit is used up", "rate_limited", IDLE, {"rate_limited": 1, "active": 0}),
        ("the global concurrency is reached", "concurrency_limit", IDLE, {"concurrency_limit": 1}),
        ("nobody works", "no_workers", NONE, {"active": 0, "worker_alive": 0}),
        ("idle workers take nothing", "workers_idle", IDLE, {"active": 0}),
        ("busy workers, but no job is held", "workers_idle", BUSY, {"active_locked": 0}),
        ("frozen workers without a job", "workers_idle", BUSY, {"active": 0}),
        # --- ties: the first that holds
        ("paused and without workers", "paused", NONE, {"paused": 1, "worker_alive": 0}),
        ("paused and limited", "paused", IDLE, {"paused": 1, "rate_limited": 1}),
        (
            "limited twice",
            "rate_limited",
            IDLE,
            {"rate_limited": 1, "concurrency_limit": 1},
        ),
        ("at the limit and without workers", "concurrency_limit", NONE, {"concurrency_limit": 1}),
        # --- unknown workers: stalled-check tells
        ("no list, and no stalled-check", "no_workers", None, {"active": 0, "worker_alive": 0}),
        ("no list, a live one takes nothing", "workers_idle", None, {"active": 0}),
        ("no list, a live one works", None, None, {}),
        ("no list, and nothing known", None, None, {"active": 0, "worker_alive": None}),
        # --- false alarms
        ("a long job in every worker", None, BUSY, {}),
        ("new work", None, NONE, {"ready_since": BRIEF, "still_since": BRIEF, "worker_alive": 0}),
        ("work that moved a moment ago", None, BUSY, {"still_since": BRIEF, "active_locked": 0}),
        ("no ready work", None, NONE, {"waiting": 0, "ready_since": None, "still_since": None}),
        ("only delayed work", None, NONE, {"waiting": 0, "delayed": 5, "ready_since": None}),
        ("a worker without a name", None, NONE, {"active": 0, "worker_alive": 1}),
        ("a rate window that is not used up", None, BUSY, {"rate_limited": 0}),
        ("below the global concurrency", None, BUSY, {"concurrency_limit": 5}),
        ("whether jobs are held is not known", None, BUSY, {"active_locked": None}),
        # --- what looks like movement is none without a worker
        (
            "jobs put in front of others",
            "no_workers",
            NONE,
            {"still_since": NOW, "worker_alive": 0},
        ),
        (
            "only prioritized work",
            "no_workers",
            NONE,
            {"waiting": 0, "prioritized": 2, "worker_alive": 0, "active": 0},
        ),
    ],
)
def test_one_database(
    what: str, expected: str | None, workers: WorkerCount | None, facts: dict[str, object]
) -> None:
    assert reason(database(workers=workers, **facts)) == expected, what


@pytest.mark.parametrize(("role", "expected"), [("slave", "redis_readonly"), ("master", None)])
def test_a_read_only_replica_is_the_last_reason(role: str, expected: str | None) -> None:
    facts = {"active": 0, "worker_alive": None}
    assert reason(database(workers=None, role=role, **facts)) == expected


GHOST = {
    "waiting": 0,
    "active": 0,
    "has_id": 0,
    "ready_since": None,
    "still_since": None,
}
ORPHAN = {"active": 0, "worker_alive": 0}


class TestIsolation:
    def test_jobs_here_and_workers_there(self) -> None:
        result = found(database(workers=NONE, **ORPHAN), database("worker", IDLE, **GHOST))
        assert result.isolations == (Isolation("bull", "mail", "api", "worker"),)
        assert [str(why) for why in result.blocked.values()] == ["worker_isolated"]

    def test_by_fingerprints_alone(self) -> None:
        """Where CLIENT LIST is refused: a stalled-check without an id, and jobs without one."""
        here = database(workers=None, **ORPHAN)
        there = database("worker", None, **GHOST, worker_alive=1)
        assert found(here, there).isolations == (Isolation("bull", "mail", "api", "worker"),)

    @pytest.mark.parametrize(
        ("what", "here", "there"),
        [
            (
                "workers here too",
                database(workers=IDLE, active=0),
                database("worker", IDLE, **GHOST),
            ),
            (
                "jobs were added there: two environments",
                database(workers=NONE, **ORPHAN),
                database("worker", IDLE, **(GHOST | {"has_id": 1})),
            ),
            (
                "no workers there either",
                database(workers=NONE, **ORPHAN),
                database("worker", NONE, **GHOST, worker_alive=0),
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
                "a worker without a name is here",
                database(workers=NONE, active=0, worker_alive=1),
                database("worker", IDLE, **GHOST),
            ),
        ],
    )
    def test_none(self, what: str, here: Database, there: Database) -> None:
        assert found(here, there).isolations == (), what

    def test_paused_is_told_first_and_the_isolation_all_the_same(self) -> None:
        here = database(workers=NONE, **ORPHAN, paused=1)
        result = found(here, database("worker", IDLE, **GHOST))
        assert [str(why) for why in result.blocked.values()] == ["paused"]
        assert len(result.isolations) == 1

    def test_workers_in_two_places(self) -> None:
        others = (database("w1", IDLE, **GHOST), database("w2", BUSY, **GHOST))
        result = found(database(workers=NONE, **ORPHAN), *others)
        assert [i.worker for i in result.isolations] == ["w1", "w2"]
