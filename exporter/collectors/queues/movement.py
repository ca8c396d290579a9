"""Whether a queue's ready work moves, told from one poll to the next. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.collectors.queues.kept import Kept, Progress


def note_progress(
    kept: Kept, row: int, seen: Progress, waiting: Sequence[bytes], now: float
) -> None:
    """Bring `ready_since` and `still_since` up to date; `waiting` are the jobs looked at."""
    if kept.ready_since[row] is None:
        kept.ready_since[row] = kept.still_since[row] = now
    elif moved(kept.progress[row], seen, waiting):
        kept.still_since[row] = now
    kept.progress[row] = seen


def note_idle(kept: Kept, row: int) -> None:
    """No work is ready any more, and so nothing is asked about who could do it."""
    kept.ready_since[row] = kept.still_since[row] = kept.active_locked[row] = None
    kept.life_known[row] = False


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
