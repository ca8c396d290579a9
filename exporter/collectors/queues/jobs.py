"""The third round trip: the times of the jobs that the second has named, and who works on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporter.bullmq import (
    JOB_TIMES,
    MANUAL_RATE_LIMIT,
    delayed_score,
    is_marker,
    ready_since_ms,
)
from exporter.collectors.queues.asking import Question, question, see_fields
from exporter.collectors.queues.rows import Column, Rows, firsts_of
from exporter.connection import Reply, pack
from exporter.numerals import is_digits

OVERDUE_GRACE_MS: Final = 5000
"""Workers promote delayed jobs when they fetch, Python's up to a second late."""


def job_questions(rows: Rows) -> list[Question]:
    """All of them. Jobs that were looked at before, and are the same, need not be asked for."""
    late_jobs = rows.columns["delayed_overdue_seconds"] = _lateness(
        rows, rows.delayed, rows.kept.delayed_ms, rows.kept.first_delayed
    )
    late_schedulers = rows.columns["schedulers_overdue_seconds"] = _lateness(
        rows, rows.kept.schedulers, rows.kept.scheduled_ms, rows.kept.first_scheduled
    )
    return [
        _waiting_times(rows),
        _active_times(rows),
        _locks(rows),
        _stalled_checks(rows),
        _rate_counts(rows),
        _overdue(rows, "delayed", late_jobs, delayed_score(rows.now_ms - OVERDUE_GRACE_MS)),
        _overdue(rows, "repeat", late_schedulers, int(rows.now_ms - OVERDUE_GRACE_MS)),
    ]


def note_stalled_check(rows: Rows, row: int, value: Reply) -> None:
    """Every worker writes its time there; the greatest value seen tells whether one is alive."""
    seen = rows.kept.stalled_check_ms
    if is_digits(value):
        seen[row] = max(seen[row], float(value))


# --- waiting and active jobs ---------------------------------------------------------------------


def _waiting_times(rows: Rows) -> Question:
    kept = rows.kept
    wanted = {row: jobs for row in rows.waiting_news if (jobs := _waiting(rows, row))}
    for row in rows.waiting_news.difference(wanted):
        kept.jobs[row], kept.oldest_ms[row] = (), None

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        see_fields(replies, len(JOB_TIMES))
        start = 0
        for row, width in zip(asked, widths, strict=True):
            jobs = wanted[row]
            fields = zip(jobs, replies[start : start + width], strict=True)
            times = [ready_since_ms(job, found) for job, found in fields if found is not None]
            kept.jobs[row] = jobs
            kept.oldest_ms[row] = min((time for time in times if time is not None), default=None)
            start += width

    asked = [row for row, jobs in wanted.items() if jobs != kept.jobs[row]]
    widths = [len(wanted[row]) for row in asked]
    packed = [
        pack("HMGET", rows.batch.key(row, job), *JOB_TIMES) for row in asked for job in wanted[row]
    ]
    return Question(asked, b"".join(packed), widths, (list,), answer)


def _waiting(rows: Rows, row: int) -> tuple[bytes, ...]:
    """The waiting jobs to look at."""
    if not rows.ready[row]:
        return ()
    kept = rows.kept
    lists = (kept.wait_tail, kept.wait_head), (kept.paused_tail, kept.paused_head)
    jobs: list[bytes] = []
    for tail, head in lists:
        jobs += tail[row] or ()
        if head[row] is not None and head[row] not in jobs:
            jobs.append(head[row])
    found = [job for job in jobs if not is_marker(job)]
    if len(found) < len(jobs):
        kept.marked[row] = True
    return (*found, *(job for job, _ in firsts_of(kept.firsts[row])))


def _active_times(rows: Rows) -> Question:
    kept = rows.kept
    for row in rows.active_news:
        job = next(iter(active_ends(rows, row)), None)
        if job != kept.active_job[row]:
            kept.active_job[row], kept.started_ms[row] = job, None
        kept.locks_asked[row] = b""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        see_fields(replies, 1)
        for row, found in zip(asked, replies, strict=True):
            # v3 and v4 hand a job out a moment before its start is written
            started = found[0] if found else None
            kept.started_ms[row] = float(started) if is_digits(started) else None

    started = zip(rows.all, kept.active_job, kept.started_ms, strict=True)
    asked = [(row, job) for row, job, since in started if since is None and job is not None]
    packed = [pack("HMGET", rows.batch.key(row, job), "processedOn") for row, job in asked]
    places = [row for row, _ in asked]
    return Question(places, b"".join(packed), [1] * len(asked), (list,), answer)


def active_ends(rows: Rows, row: int) -> list[bytes]:
    """The oldest and the newest active job, where they are known, perhaps the same."""
    ends = (rows.kept.oldest_active[row], rows.kept.newest_active[row])
    jobs = [job for job in ends if job is not None]
    found = [job for job in jobs if not is_marker(job)]
    if len(found) < len(jobs):
        rows.kept.marked[row] = True
    return found


# --- lives ---------------------------------------------------------------------------------------


def _locks(rows: Rows) -> Question:
    """Whether a worker holds the oldest or the newest active job; a lock is renewed or expires."""
    kept = rows.kept

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, locks in zip(asked, replies, strict=True):
            kept.active_locked[row] = None if locks is None else int(locks > 0)

    asked = []
    for row in rows.asked_lives:
        if kept.active_job[row] is None:
            kept.active_locked[row] = None
        else:
            asked.append(row)
    packed = [kept.locks_asked[row] or _lock_command(rows, row) for row in asked]
    return Question(asked, b"".join(packed), [1] * len(asked), (int,), answer)


def _lock_command(rows: Rows, row: int) -> bytes:
    locks = [rows.batch.key(row, job) + b":lock" for job in dict.fromkeys(active_ends(rows, row))]
    packed = rows.kept.locks_asked[row] = pack("EXISTS", *locks)
    return packed


def _stalled_checks(rows: Rows) -> Question:
    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, value in zip(asked, replies, strict=True):
            note_stalled_check(rows, row, value)
            rows.kept.life_known[row] = True

    return question(rows.asked_lives, rows.batch.stalled_check, answer)


# --- limits and lateness -------------------------------------------------------------------------


def _rate_counts(rows: Rows) -> Question:
    """Whether an open rate window is used up: `limiter` counts the jobs started in it."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, started in zip(asked, replies, strict=True):
            most = rows.kept.rate_max[row]
            count = int(started) if is_digits(started) else None
            # a worker's own limit is not in Redis: its window is open, and that is all one knows
            used_up = most is None or count is None or count >= min(most, MANUAL_RATE_LIMIT)
            rows.columns["rate_limited"][row] = int(used_up)

    return question(rows.limited, rows.batch.rate_count, answer)


def _lateness(
    rows: Rows, counts: Sequence[Reply], due_ms: Sequence[float | None], firsts: Sequence[Reply]
) -> Column:
    """Seconds by which the first one is late, 0 within the grace and where there is none."""
    latest = rows.now_ms - OVERDUE_GRACE_MS
    return [
        (rows.now_ms - due) / 1000
        if due is not None and due < latest and count
        else 0
        if count == 0 or first is not None
        else None
        for count, due, first in zip(counts, due_ms, firsts, strict=True)
    ]


def _overdue(rows: Rows, key: str, late: Column, before: int) -> Question:
    """How many are late."""
    name = "delayed_overdue_jobs" if key == "delayed" else "schedulers_overdue"
    column: Column = [0] * len(late)
    if None in late:
        column = [None if seconds is None else 0 for seconds in late]
    rows.columns[name] = column

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, count in zip(asked, replies, strict=True):
            column[row] = count

    asked = rows.where(late)
    packed = [rows.batch.command("ZCOUNT", row, key.encode(), "-inf", before) for row in asked]
    return Question(asked, b"".join(packed), [1] * len(asked), (int,), answer)
