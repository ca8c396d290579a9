"""What is odd about a queue's workers, and when nothing is known about it."""

from __future__ import annotations

import pytest

from exporter.bullmq import queue_of
from exporter.diagnosis import Database, odd_workers, queue_facts
from exporter.state.workers import OddWorkers, WorkerCount, WorkerFacts
from tests.support.tables import queue_table

NOW = 1000.0
MAIL = queue_of("bull", "mail")
MOVES = {"ready_since": NOW - 600, "still_since": NOW - 1, "waiting": 5, "rate_limited": 0}
"""Jobs are ready, and one was taken a second ago."""


def odd(workers: WorkerCount | None, **facts: object) -> tuple[OddWorkers, ...]:
    known = None if workers is None else WorkerFacts({MAIL: workers})
    row = {"waiting": 0, "prioritized": 0, "active": 0} | facts
    database = Database("api", "master", queue_table((MAIL,), [row]), known)
    return odd_workers(queue_facts(database, 0, NOW, 60.0))


def proofs(*arguments: WorkerCount | None, **facts: object) -> list[str]:
    return [each.proof for each in odd(*arguments, **facts)]


def test_a_worker_that_waits_for_nothing_and_holds_no_job() -> None:
    (found,) = odd(WorkerCount(3, 2, quiet=1))
    assert found.oddity == "silent"
    assert found.proof == (
        "of 3 workers, 1 neither waits for jobs nor works on one: 1 sent nothing for 60 s, and no "
        "job is active"
    )


def test_among_busy_workers_it_is_not_known_which() -> None:
    (proof,) = proofs(WorkerCount(5, 1, quiet=4), active=3)
    assert proof.startswith("of 5 workers, at least 1 neither waits for jobs nor works on one: 4 ")
    assert proof.endswith(" s, and 3 jobs are active")
    (proof,) = proofs(WorkerCount(5, 1, quiet=4), active=1)
    assert proof.startswith("of 5 workers, at least 3 neither wait for jobs nor work on one: 4 ")


@pytest.mark.parametrize(
    ("workers", "facts"),
    [
        pytest.param(WorkerCount(3, 2, quiet=1), {"active": 1}, id="it may hold the active job"),
        pytest.param(WorkerCount(3, 2, quiet=1), {"active": None}, id="active jobs are unknown"),
        pytest.param(WorkerCount(3, 0, quiet=3), {}, id="no peer: all may be rate limited"),
        pytest.param(
            WorkerCount(3, 0, quiet=3),
            MOVES | {"active": 2, "rate_limited": None},
            id="the rate limit is unknown",
        ),
        pytest.param(
            WorkerCount(3, 0, quiet=3),
            MOVES | {"active": 2, "rate_limit_remaining_seconds": 9.0},
            id="the window of a limit is open",
        ),
        pytest.param(None, {}, id="workers are unknown"),
    ],
)
def test_no_proof(workers: WorkerCount | None, facts: dict[str, object]) -> None:
    assert odd(workers, **facts) == ()


def test_busy_peers_prove_it_where_jobs_are_taken_without_a_limit() -> None:
    assert len(odd(WorkerCount(3, 0, quiet=3), **MOVES | {"active": 2})) == 1


def test_versions_that_differ() -> None:
    clients = (("ioredis", "5.10.0", 1), ("ioredis", "5.11.1", 2), ("redis-py", "8.1.0", 1))
    (found,) = odd(WorkerCount(4, 4, clients=clients))
    assert (found.oddity, found.proof) == (
        "versions",
        "the workers use different versions of ioredis: 5.10.0 (1), 5.11.1 (2)",
    )


def test_different_libraries_are_no_different_versions() -> None:
    clients = (("ioredis", "5.11.1", 2), ("redis-py", "8.1.0", 1))
    assert odd(WorkerCount(4, 4, clients=clients)) == ()
