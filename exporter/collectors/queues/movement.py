"""Whether a queue's ready work moves, told from one poll to the next. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.collectors.queues.plan import Memory, Progress


def note_progress(memory: Memory, seen: Progress, waiting: Sequence[bytes], now: float) -> None:
    """Bring `ready_since` and `still_since` up to date; `waiting` are the jobs looked at."""
    if memory.ready_since is None:
        memory.ready_since = memory.still_since = now
    elif moved(memory.progress, seen, waiting):
        memory.still_since = now
    memory.progress = seen


def moved(before: Progress, seen: Progress, waiting: Sequence[bytes]) -> bool:
    """Whether a job has been started between two polls, as far as can be seen.

    Any of: the numbers of finished jobs changed; another job is the newest active one; the job that
    was next is not among the next ones any more; the most urgent prioritized job has gone, rather
    than been overtaken by a more urgent one.
    """
    if seen.finished != before.finished:
        return True
    if seen.newest_active is not None and seen.newest_active != before.newest_active:
        return True
    if before.next_job is not None and before.next_job not in waiting:
        return True
    return _first_has_gone(before.first_prioritized, seen.first_prioritized)


def _first_has_gone(before: tuple[bytes, float] | None, seen: tuple[bytes, float] | None) -> bool:
    if before is None:
        return False
    return seen is None or (seen[0] != before[0] and seen[1] >= before[1])
