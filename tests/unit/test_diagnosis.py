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
"""No worker shows any sign of life."""
LOST = {"worker_alive": 0, "active_locked": 0}
"""A job is active, and no worker holds it."""
FIRST = {"ready_since": NOW, "still_since": NOW, "oldest_waiting_seconds": 660.0}
"""At the exporter's first poll, a job has waited for eleven minutes."""
WINDOW = {"rate_limited": 0, "rate_limit_remaining_seconds": 3000.0}
"""The window of a rate limit that is not used up."""
OWN_LIMIT = {"rate_limited": None, "rate_limit_remaining_seconds": 3000.0}
"""The window of a limit that only workers know."""


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
        ("nobody works", "no_workers", NONE, DESERTED),
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
        (
            "both lists, and no workers",
            "no_workers",
            NONE,
            DESERTED | {"left_in_paused_since": LONG},
        ),
        # --- unknown workers: stalled-check tells
        ("no list, and no stalled-check", "no_workers", None, DESERTED),
        ("no list, a live one takes nothing", "workers_idle", None, {"active": 0}),
        ("no list, a live one works", None, None, {}),
        ("no list, and nothing known", None, None, DESERTED | {"worker_alive": None}),
        ("no list, and a job is held", None, None, {"worker_alive": 0}),
        # --- limits of workers that are gone or frozen
        ("at the limit, held by nobody", "no_workers", NONE, LOST | {"concurrency_limit": 1}),
        (
            "at the limit, held by a frozen one",
            "workers_idle",
            BUSY,
            LOST | {"concurrency_limit": 1},
        ),
        (
            "at the limit, and nobody is there",
            "no_workers",
            NONE,
            DESERTED | {"concurrency_limit": 0},
        ),
        ("limited, and nobody is there", "no_workers", NONE, DESERTED | {"rate_limited": 1}),
        ("limited, and frozen", "workers_idle", BUSY, LOST | {"rate_limited": 1}),
        ("4 of 1,000 used, nobody is there", "no_workers", NONE, LOST | WINDOW),
        ("4 of 1,000 used, frozen", "workers_idle", BUSY, LOST | WINDOW),
        # --- a worker's own limit, which is not in Redis
        ("its workers wait", "rate_limited", BUSY, OWN_LIMIT | {"active": 0}),
        ("its workers are gone", "no_workers", NONE, OWN_LIMIT | DESERTED),
        ("its workers are idle", None, IDLE, OWN_LIMIT | {"active": 0}),
        ("its workers are frozen", None, BUSY, OWN_LIMIT | {"active": 0, "worker_alive": 0}),
        ("its worker froze with a job", "workers_idle", BUSY, OWN_LIMIT | LOST),
        (
            "a killed worker's job, and a new worker",
            None,
            BUSY,
            OWN_LIMIT | {"active_locked": 0, "worker_alive": 1},
        ),
        # --- jobs where no worker looks
        ("left in paused", "left_in_paused", IDLE, {"active": 0, "left_in_paused_since": LONG}),
        (
            "left there a moment ago",
            "workers_idle",
            IDLE,
            {"active": 0, "left_in_paused_since": BRIEF},
        ),
        (
            "left there, while others move",
            "left_in_paused",
            BUSY,
            {"still_since": BRIEF, "left_in_paused_since": LONG},
        ),
        # --- what Redis refused to tell
        ("paused or not", None, IDLE, {"active": 0, "paused": None}),
        ("limited or not", None, IDLE, {"active": 0, "rate_limited": None}),
        ("settings or not", None, IDLE, {"active": 0, "library_version": None}),
        ("nobody is there all the same", "no_workers", NONE, DESERTED | {"paused": None}),
        # --- at the first look
        ("an old job, and nobody", "no_workers", NONE, DESERTED | FIRST),
        ("an old job, and a pause", "paused", BUSY, FIRST | {"paused": 1}),
        ("an old job, and a worker", None, IDLE, FIRST | {"active": 0}),
        ("an old job, no list", None, None, DESERTED | FIRST),
        ("a young job, and nobody", None, NONE, DESERTED | FIRST | {"oldest_waiting_seconds": 59}),
        ("an old job, and it is held", None, NONE, FIRST | {"worker_alive": 0}),
        ("an old job, nothing else known", None, NONE, DESERTED | FIRST | {"worker_alive": None}),
        # --- movement is proof
        ("ten jobs a second, no sign", None, NONE, DESERTED | {"still_since": NOW}),
        ("ten jobs a second, no list", None, None, DESERTED | {"still_since": NOW}),
        # --- false alarms
        ("a long job in every worker", None, BUSY, {}),
        ("new work", None, NONE, {"ready_since": BRIEF, "still_since": BRIEF, "worker_alive": 0}),
        ("work that moved a moment ago", None, BUSY, {"still_since": BRIEF, "active_locked": 0}),
        ("no ready work", None, NONE, {"waiting": 0, "ready_since": None, "still_since": None}),
        ("only delayed work", None, NONE, {"waiting": 0, "delayed": 5, "ready_since": None}),
        ("a worker without a name", None, NONE, DESERTED | {"worker_alive": 1}),
        ("a rate window that is not used up", None, BUSY, WINDOW),
        ("below the global concurrency", None, BUSY, {"concurrency_limit": 5}),
        ("whether jobs are held is not known", None, BUSY, {"active_locked": None}),
        (
            "only prioritized work",
            "no_workers",
            NONE,
            DESERTED | {"waiting": 0, "prioritized": 2},
        ),
    ],
)
def test_one_database(
    what: str, expected: str | None, workers: WorkerCount | None, facts: dict[str, object]
) -> None:
    assert reason(database(workers=workers, **facts)) == expected, what


@pytest.mark.parametrize(
    ("what", "facts", "expected"),
    [
        ("nothing is known of workers", {"active": 0, "worker_alive": None}, "redis_readonly"),
        ("the workers' signs are gone", DESERTED, "redis_readonly"),
        ("it is replicated, and moves", {"still_since": BRIEF}, None),
        ("the first look", DESERTED | FIRST, None),
        ("paused", {"paused": 1}, "paused"),
    ],
)
def test_a_replica(what: str, facts: dict[str, object], expected: str | None) -> None:
    """No worker can take a job from it, so its workers are not the reason."""
    assert reason(database(workers=None, role="slave", **facts)) == expected, what


@pytest.mark.parametrize(
    ("what", "workers", "facts", "expected"),
    [
        ("idle workers", IDLE, {"active": 0}, "writes_refused"),
        ("no workers", NONE, DESERTED, "writes_refused"),
        ("the first look", IDLE, FIRST | {"active": 0}, "writes_refused"),
        ("it was refused a moment ago", BUSY, {"still_since": BRIEF}, None),
    ],
)
def test_writes_are_refused(
    what: str, workers: WorkerCount, facts: dict[str, object], expected: str | None
) -> None:
    assert reason(database(workers=workers, refused="OOM", **facts)) == expected, what


def test_a_worker_without_a_name_may_be_there_until_it_was_watched() -> None:
    """It waits in Redis like an idle worker; it would take the job if it were of this queue."""
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
    def test_jobs_here_and_workers_there(self) -> None:
        result = found(database(workers=NONE, **ORPHAN), database("worker", IDLE, **GHOST))
        assert result.isolations == (Isolation("bull", "mail", "api", "worker"),)
        assert [str(why) for why in result.blocked.values()] == ["worker_isolated"]

    def test_by_fingerprints_alone(self) -> None:
        """Where CLIENT LIST is refused: a stalled-check without an id, and jobs without one."""
        here = database(workers=None, **ORPHAN)
        there = database("worker", None, **(GHOST | {"worker_alive": 1}))
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
                "a worker without a name is here",
                database(workers=NONE, **(DESERTED | {"worker_alive": 1})),
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
