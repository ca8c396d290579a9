"""The third round trip: the times of the jobs that the second has named, and who works on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporter.bullmq import (
    JOB_TIMES,
    MANUAL_RATE_LIMIT,
    STALLED_CHECK_GRACE_SECONDS,
    delayed_score,
    ready_since_ms,
)
from exporter.collectors.queues.asking import Question, question
from exporter.collectors.queues.rows import Rows
from exporter.connection import Reply, pack

OVERDUE_GRACE_MS: Final = 5000
"""Workers promote delayed jobs when they fetch, Python's up to a second late."""

_LIFE_SECONDS: Final = 9.0
"""How long an answer about workers' lives is good: they write every fifteen or thirty seconds."""


def job_questions(rows: Rows) -> list[Question]:
    """All of them. Jobs that were looked at before, and are the same, need not be asked for."""
    lives = _lives_in_question(rows)
    return [
        _waiting_times(rows),
        _active_times(rows),
        _locks(rows, lives),
        _stalled_checks(rows, lives),
        _rate_counts(rows),
        _overdue(rows),
    ]


def lateness(late_ms: float) -> float:
    """Seconds, 0 within the grace."""
    return late_ms / 1000 if late_ms > OVERDUE_GRACE_MS else 0


def note_stalled_check(rows: Rows, row: int, value: Reply) -> None:
    """Every worker writes its time there; the greatest value seen tells whether one is alive."""
    memory = rows.batch.memories[row]
    if isinstance(value, bytes) and value.isdigit():
        memory.stalled_check_ms = max(memory.stalled_check_ms, float(value))
    age = (rows.now_ms - memory.stalled_check_ms) / 1000
    rows.columns["worker_alive"][row] = int(age < STALLED_CHECK_GRACE_SECONDS)


def _waiting_times(rows: Rows) -> Question:
    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        start = 0
        for row, width in zip(asked, widths, strict=True):
            fields = zip(rows.waiting[row], replies[start : start + width], strict=True)
            times = [ready_since_ms(job, found) for job, found in fields if found is not None]
            memory = rows.batch.memories[row]
            memory.jobs = rows.waiting[row]
            memory.oldest_ms = min((time for time in times if time is not None), default=None)
            start += width

    memories = rows.batch.memories
    asked = [row for row, jobs in rows.waiting.items() if jobs and jobs != memories[row].jobs]
    widths = [len(rows.waiting[row]) for row in asked]
    packed = [
        b"".join(pack("HMGET", rows.key(row, job), *JOB_TIMES) for job in rows.waiting[row])
        for row in asked
    ]
    return Question(asked, packed, widths, answer)


def show_ages(rows: Rows) -> None:
    """The ages of the jobs that were asked about now or are the same as before."""
    _show_waiting(rows)
    _show_active(rows)


def _show_waiting(rows: Rows) -> None:
    column, memories = rows.columns["oldest_waiting_seconds"], rows.batch.memories
    for row, jobs in rows.waiting.items():
        oldest = memories[row].oldest_ms
        if jobs and oldest is not None:
            column[row] = max(0.0, (rows.now_ms - oldest) / 1000)


def _active_times(rows: Rows) -> Question:
    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, found in zip(asked, replies, strict=True):
            # v3 and v4 hand a job out a moment before its start is written
            started = found[0] if found else None
            known = isinstance(started, bytes) and started.isdigit()
            memory = rows.batch.memories[row]
            memory.active = (rows.oldest_active[row], float(started or 0) if known else None)

    memories = rows.batch.memories
    asked = [
        row
        for row, job in rows.oldest_active.items()
        if memories[row].active[0] != job or memories[row].active[1] is None
    ]
    packed = [pack("HMGET", rows.key(row, rows.oldest_active[row]), "processedOn") for row in asked]
    return question(asked, packed, 1, answer)


def _show_active(rows: Rows) -> None:
    column, memories = rows.columns["oldest_active_seconds"], rows.batch.memories
    for row, job in rows.oldest_active.items():
        known, started = memories[row].active
        if known == job and started is not None:
            column[row] = max(0.0, (rows.now_ms - started) / 1000)


def _lives_in_question(rows: Rows) -> list[int]:
    """Rows whose work was ready at the last poll too: it matters who could do it.

    The others with ready work get what was found a moment ago.
    """
    asked = []
    for row in rows.ready:
        memory = rows.batch.memories[row]
        if memory.ready_since is None:
            continue
        if rows.now - memory.life_asked >= _LIFE_SECONDS:
            memory.life_asked, memory.active_locked = rows.now, None
            asked.append(row)
        else:
            note_stalled_check(rows, row, None)
            rows.columns["active_locked"][row] = memory.active_locked
    return asked


def _locks(rows: Rows, lives: Sequence[int]) -> Question:
    """Whether a worker holds the oldest or the newest active job; a lock is renewed or expires."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, locks in zip(asked, replies, strict=True):
            held = None if locks is None else int(locks > 0)
            rows.columns["active_locked"][row] = rows.batch.memories[row].active_locked = held

    asked = [row for row in lives if row in rows.oldest_active]
    packed = []
    for row in asked:
        jobs = {rows.oldest_active[row], rows.progress_of(row).newest_active} - {None}
        locks = [rows.key(row, job) + b":lock" for job in jobs if job is not None]
        packed.append(pack("EXISTS", *locks))
    return question(asked, packed, 1, answer)


def _stalled_checks(rows: Rows, lives: Sequence[int]) -> Question:
    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, value in zip(asked, replies, strict=True):
            note_stalled_check(rows, row, value)

    packed = [rows.command("GET", row, b"stalled-check") for row in lives]
    return question(lives, packed, 1, answer)


def _rate_counts(rows: Rows) -> Question:
    """Whether an open rate window is used up: `limiter` counts the jobs started in it."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, started in zip(asked, replies, strict=True):
            settings = rows.batch.memories[row].settings
            most = settings.rate_max if settings is not None else None
            count = int(started) if isinstance(started, bytes) and started.isdigit() else None
            # a worker's own limit is not in Redis: its window is open, and that is all one knows
            used_up = most is None or count is None or count >= min(most, MANUAL_RATE_LIMIT)
            rows.columns["rate_limited"][row] = int(used_up)

    packed = [rows.command("GET", row, b"limiter") for row in rows.limited]
    return question(rows.limited, packed, 1, answer)


def _overdue(rows: Rows) -> Question:
    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, count in zip(asked, replies, strict=True):
            rows.columns["delayed_overdue_jobs"][row] = count

    late = [row for row, s in enumerate(rows.columns["delayed_overdue_seconds"]) if s]
    before = delayed_score(rows.now_ms - OVERDUE_GRACE_MS)
    packed = [rows.command("ZCOUNT", row, b"delayed", "-inf", before) for row in late]
    return question(late, packed, 1, answer)
