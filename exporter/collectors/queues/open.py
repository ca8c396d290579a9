"""The second round trip: what the counts leave open."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from exporter.bullmq import (
    LISTS,
    PRIORITY_BAND,
    SETTINGS,
    STALLED_CHECK_GRACE_SECONDS,
    due_ms,
    is_marker,
    jobs_in_list,
    settings_of,
)
from exporter.collectors.queues.asking import Question, question
from exporter.collectors.queues.jobs import OVERDUE_GRACE_MS, lateness, note_stalled_check
from exporter.collectors.queues.plan import TAIL_JOBS
from exporter.collectors.queues.rows import Rows
from exporter.connection import Reply

MOST_BANDS: Final = 4
"""Priorities whose first job is looked at; one more is learned at each poll."""


def open_questions(rows: Rows, due: Sequence[int]) -> list[Question]:
    """All of them; one that no row gives reason for has no rows."""
    return [
        _settings(rows, due),
        _existence(rows),
        _list_ends(rows, due),
        _rate_limit(rows),
        *_list_jobs(rows, 0, rows.wait),
        *_list_jobs(rows, 1, rows.paused),
        _first_prioritized(rows, due),
        _active_ends(rows),
        _first_delayed(rows),
        _schedules(rows),
    ]


def _having(counts: Sequence[Reply]) -> list[int]:
    return [row for row, count in enumerate(counts) if count]


# --- settings and existence ----------------------------------------------------------------------


def _settings(rows: Rows, due: Sequence[int]) -> Question:
    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, fields, schedulers in zip(asked, replies[::2], replies[1::2], strict=True):
            memory = rows.batch.memories[row]
            memory.schedulers = schedulers
            if fields is not None:
                memory.settings = settings_of(fields)

    packed = [
        rows.command("HMGET", row, b"meta", *SETTINGS) + rows.command("ZCARD", row, b"repeat")
        for row in due
    ]
    return question(due, packed, 2, answer)


def _existence(rows: Rows) -> Question:
    """Whether a queue without any job still has a key that tells of it."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, *found in zip(asked, replies[::3], replies[1::3], replies[2::3], strict=True):
            _take_existence(rows, row, found)

    empty = [row for row, counts in enumerate(zip(*rows.counts, strict=True)) if not any(counts)]
    packed = [
        rows.command("EXISTS", row, b"meta")
        + rows.command("EXISTS", row, b"id")
        + rows.command("GET", row, b"stalled-check")
        for row in empty
    ]
    return question(empty, packed, 3, answer)


def _take_existence(rows: Rows, row: int, found: Sequence[Reply]) -> None:
    meta, has_id, stalled_check = found
    memory = rows.batch.memories[row]
    note_stalled_check(rows, row, stalled_check)
    rows.columns["has_id"][row] = has_id
    if stalled_check is not None:
        memory.worker_seen = rows.now
    silent = rows.now - memory.worker_seen > STALLED_CHECK_GRACE_SECONDS
    gone = meta == 0 and has_id == 0 and stalled_check is None and silent
    rows.exists[row] = rows.batch.queues[row].static or not gone


# --- lists ---------------------------------------------------------------------------------------


def _list_ends(rows: Rows, due: Sequence[int]) -> Question:
    """The lists' lengths once more, with both ends, where they may hold markers."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        width = 3 * len(LISTS)
        for place, row in enumerate(asked):
            _take_ends(rows, row, replies[place * width : (place + 1) * width])

    looked_at = set(due)
    memories = rows.batch.memories
    suspects = [
        row
        for row, lengths in enumerate(zip(rows.wait, rows.paused, rows.active, strict=True))
        if any(lengths) and (row in looked_at or memories[row].suspect)
    ]
    packed = [
        b"".join(
            rows.command("LLEN", row, name)
            + rows.command("LINDEX", row, name, 0)
            + rows.command("LINDEX", row, name, -1)
            for name in map(str.encode, LISTS)
        )
        for row in suspects
    ]
    return question(suspects, packed, 3 * len(LISTS), answer)


def _take_ends(rows: Rows, row: int, replies: list[Reply]) -> None:
    marked = False
    for place in range(len(LISTS)):
        length, head, tail = replies[3 * place : 3 * place + 3]
        if length is None:
            continue
        jobs = jobs_in_list(length, head, tail)
        marked = marked or jobs < length
        rows.counts[place][row] = jobs
    rows.batch.memories[row].marked = marked
    if not (rows.wait[row] or rows.paused[row] or rows.prioritized[row]):
        rows.ready.discard(row)


def _list_jobs(rows: Rows, place: int, lengths: Sequence[Reply]) -> list[Question]:
    """Jobs at both ends of `wait` or `paused`."""

    def take_tails(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, found in zip(asked, replies, strict=True):
            jobs = tuple(job for job in found or () if not is_marker(job))
            rows.waiting[row] += jobs
            progress = rows.progress_of(row)
            if jobs and progress.next_job is None:
                progress.next_job = jobs[-1]

    def take_heads(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, job in zip(asked, replies, strict=True):
            if job is not None and not is_marker(job) and job not in rows.waiting[row]:
                rows.waiting[row] += (job,)

    all_rows = _having(lengths)
    long_rows = [row for row in all_rows if lengths[row] > TAIL_JOBS]
    packed = rows.batch.packed
    return [
        question(all_rows, [packed[row].tails[place] for row in all_rows], 1, take_tails),
        question(long_rows, [packed[row].heads[place] for row in long_rows], 1, take_heads),
    ]


# --- rate limit, priorities, active --------------------------------------------------------------


def _rate_limit(rows: Rows) -> Question:
    """`limiter` lives as long as a rate window (PTTL); only ready jobs wait for it."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        remaining = rows.columns["rate_limit_remaining_seconds"]
        for row, left in zip(asked, replies, strict=True):
            if left is not None and left > 0:
                remaining[row] = left / 1000
                rows.limited.append(row)
            elif left is not None and limited(row):
                remaining[row] = 0

    def limited(row: int) -> bool:
        settings = rows.batch.memories[row].settings
        return settings is not None and settings.rate_max is not None

    asked = sorted(rows.ready.union(filter(limited, range(len(rows.exists)))))
    return question(asked, [rows.batch.packed[row].rate_limit for row in asked], 1, answer)


def _first_prioritized(rows: Rows, due: Sequence[int]) -> Question:
    """The first job of each priority that is known, and of the next one that is not."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        start = 0
        for row, width in zip(asked, widths, strict=True):
            _take_prioritized(rows, row, replies[start : start + width], looked=row in looking)
            start += width

    asked = _having(rows.prioritized)
    again = set(due)
    looking = {
        row
        for row in asked
        if row in again or rows.prioritized[row] > rows.batch.memories[row].prioritized
    }
    commands = [_band_commands(rows, row, look=row in looking) for row in asked]
    widths = [width for _, width in commands]
    return Question(asked, [packed for packed, _ in commands], widths, answer)


def _band_commands(rows: Rows, row: int, *, look: bool) -> tuple[bytes, int]:
    """`look`: also beyond the last known priority; without new jobs there is none."""
    memory = rows.batch.memories[row]
    if memory.bands_asked is None or look:
        starts = [0, *((priority + 1) * PRIORITY_BAND for priority in memory.bands)]
        command = partial(rows.command, "ZRANGEBYSCORE", row, b"prioritized")
        most = MOST_BANDS if look else max(1, len(memory.bands))
        packed = [command(s, "+inf", "WITHSCORES", "LIMIT", 0, 1) for s in starts[:most]]
        if look:
            return b"".join(packed), len(packed)
        memory.bands_asked = (b"".join(packed), len(packed))
    return memory.bands_asked


def _take_prioritized(rows: Rows, row: int, replies: list[Reply], *, looked: bool) -> None:
    firsts = [(reply[0], float(reply[1])) for reply in replies if reply]
    rows.waiting[row] += tuple(job for job, _ in firsts)
    rows.progress_of(row).first_prioritized = firsts[0] if firsts else None
    memory = rows.batch.memories[row]
    bands = tuple(int(score // PRIORITY_BAND) for _, score in firsts)
    if bands != memory.bands:
        memory.bands, memory.bands_asked = bands, None
        memory.prioritized = 0  # there may be more: look again
    elif looked:
        memory.prioritized = rows.prioritized[row]


def _active_ends(rows: Rows) -> Question:
    """New ones come to index 0, so the last one was started first."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, *ends in zip(asked, replies[::2], replies[1::2], strict=True):
            jobs = [job for job in ends if job is not None and not is_marker(job)]
            if not jobs:
                continue
            rows.oldest_active[row] = jobs[0]
            if row in rows.ready:
                rows.progress_of(row).newest_active = jobs[-1]

    asked = _having(rows.active)
    return question(asked, [rows.batch.packed[row].active_ends for row in asked], 2, answer)


# --- delayed jobs and schedules ------------------------------------------------------------------


def _first_delayed(rows: Rows) -> Question:
    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, first in zip(asked, replies, strict=True):
            if first is not None:
                late = rows.now_ms - due_ms(float(first[1])) if first else 0.0
                rows.columns["delayed_overdue_seconds"][row] = lateness(late)
                rows.columns["delayed_overdue_jobs"][row] = 0

    asked = _having(rows.delayed)
    return question(asked, [rows.batch.packed[row].first_delayed for row in asked], 1, answer)


def _schedules(rows: Rows) -> Question:
    """A schedule moves on when a worker starts its iteration: without one it stays behind."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, *found in zip(asked, replies[::3], replies[1::3], replies[2::3], strict=True):
            schedulers, first, overdue = found
            rows.batch.memories[row].schedulers = schedulers
            rows.columns["schedulers_overdue"][row] = overdue
            if first is not None:
                late = rows.now_ms - float(first[1]) if first else 0.0
                rows.columns["schedulers_overdue_seconds"][row] = lateness(late)

    # not asked where there were none; whether there are some now comes with the settings
    asked = [row for row, memory in enumerate(rows.batch.memories) if memory.schedulers != 0]
    before = int(rows.now_ms - OVERDUE_GRACE_MS)
    packed = [
        rows.command("ZCARD", row, b"repeat")
        + rows.command("ZRANGE", row, b"repeat", 0, 0, "WITHSCORES")
        + rows.command("ZCOUNT", row, b"repeat", "-inf", before)
        for row in asked
    ]
    return question(asked, packed, 3, answer)
