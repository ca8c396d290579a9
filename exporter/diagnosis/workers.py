"""Finds odd workers of a queue: silent ones, and Redis clients of different versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from exporter.diagnosis.blocked import QueueFacts
from exporter.state.workers import QUIET_SECONDS, OddWorkers, WorkerCount, WorkerOddity


def odd_workers(row: QueueFacts) -> tuple[OddWorkers, ...]:
    """What is odd about the queue's workers; empty if nothing is, or if they are unknown."""
    workers = row.workers
    if workers is None:
        return ()
    return (*_silent(row, workers), *_versions(workers))


def _silent(row: QueueFacts, workers: WorkerCount) -> Iterator[OddWorkers]:
    """Workers that neither wait for jobs nor work on one.

    The connection of a busy worker is quiet, too. But each busy worker holds an active job, so that
    more quiet workers than active jobs prove that some hold none. A worker that is rate limited
    also waits on no connection: one that waits, or a queue without a limit whose jobs are taken,
    proves that no limit is reached.
    """
    if row.active is None or workers.quiet <= row.active:
        return
    limited = row.rate_limited is not False or row.rate_window_open
    if workers.idle or (row.moves and not limited):
        yield OddWorkers(WorkerOddity.SILENT, _proof(workers, row.active))


def _proof(workers: WorkerCount, active: int) -> str:
    number = workers.quiet - active
    some = f"at least {number}" if active else f"{number}"
    what = "neither waits for jobs nor works" if number == 1 else "neither wait for jobs nor work"
    jobs = "no job is" if not active else "1 job is" if active == 1 else f"{active} jobs are"
    return (
        f"of {workers.total} workers, {some} {what} on one: {workers.quiet} sent nothing for "
        f"{QUIET_SECONDS} s, and {jobs} active"
    )


def _versions(workers: WorkerCount) -> Iterator[OddWorkers]:
    """Workers with the same Redis client in different versions: two releases, probably."""
    versions: dict[str, list[str]] = defaultdict(list)
    for name, version, number in workers.clients:
        versions[name].append(f"{version} ({number})")
    for name, found in versions.items():
        if len(found) > 1:
            proof = f"the workers use different versions of {name}: {', '.join(found)}"
            yield OddWorkers(WorkerOddity.VERSIONS, proof)
