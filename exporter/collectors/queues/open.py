"""The second round trip: what the counts leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import or_
from typing import Final

from exporter.bullmq import (
    LISTS,
    PRIORITY_BAND,
    SETTINGS,
    STALLED_CHECK_GRACE_SECONDS,
    due_ms,
    jobs_in_list,
    settings_of,
)
from exporter.collectors.queues.asking import (
    Question,
    followed,
    question,
    see_fields,
    see_scored,
    see_texts,
)
from exporter.collectors.queues.jobs import note_stalled_check
from exporter.collectors.queues.plan import TAIL_JOBS
from exporter.collectors.queues.rows import Rows, firsts_of
from exporter.connection import Reply
from exporter.numerals import finite

MOST_BANDS: Final = 4
"""Priorities whose first job is looked at; one more is learned at each poll."""


def open_questions(rows: Rows, due: Sequence[int]) -> list[Question]:
    """All of them; `due` are the rows whose settings are read."""
    return [
        _settings(rows, due),
        _existence(rows),
        _list_ends(rows),
        _rate_limit(rows),
        *_waiting_jobs(rows),
        _first_prioritized(rows),
        _next_prioritized(rows, due),
        *_active_jobs(rows),
        _first_delayed(rows),
        _schedulers(rows),
    ]


# --- settings and existence ----------------------------------------------------------------------


def _settings(rows: Rows, due: Sequence[int]) -> Question:
    kept = rows.kept

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        see_fields(replies[::2], len(SETTINGS))
        for row, fields, schedulers in zip(asked, replies[::2], replies[1::2], strict=True):
            kept.schedulers[row] = schedulers
            if fields is not None and fields != kept.fields[row]:
                kept.fields[row] = fields
                settings = settings_of(fields)
                kept.versions[row] = settings.version
                kept.concurrency[row] = settings.concurrency
                kept.rate_max[row] = settings.rate_max
                kept.old_version[row] = settings.may_have_markers

    return question(due, rows.batch.settings, answer)


def _existence(rows: Rows) -> Question:
    """Whether a queue without any job still has a key that tells of it."""

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, *found in zip(asked, replies[::3], replies[1::3], replies[2::3], strict=True):
            _take_existence(rows, row, found)

    filled = map(any, zip(*rows.counts, strict=True))
    empty = [row for row, has_any in enumerate(filled) if not has_any]
    rows.empty = empty
    return question(empty, rows.batch.existence, answer)


def _take_existence(rows: Rows, row: int, found: Sequence[Reply]) -> None:
    meta, has_id, stalled_check = found
    note_stalled_check(rows, row, stalled_check)
    rows.columns["has_id"][row] = has_id
    if stalled_check is not None:
        rows.kept.worker_seen[row] = rows.now
    silent = rows.now - rows.kept.worker_seen[row] > STALLED_CHECK_GRACE_SECONDS
    gone = meta == 0 and has_id == 0 and stalled_check is None and silent
    rows.exists[row] = rows.batch.queues[row].static or not gone


# --- lists ---------------------------------------------------------------------------------------


def _list_ends(rows: Rows) -> Question:
    """The lists' lengths once more, with both ends, where they may hold markers.

    Where the version leaves none, one that was left over is met among the jobs that are looked at.
    """
    kept, commands = rows.kept, rows.batch.list_ends

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        found = iter(replies)
        for row, places in zip(asked, filled, strict=True):
            ends = {place: (next(found), next(found), next(found)) for place in places}
            _take_ends(rows, row, ends)

    suspects = rows.where(map(or_, kept.old_version, kept.marked))
    filled = [[place for place in range(len(LISTS)) if rows.counts[place][row]] for row in suspects]
    packed = [
        commands[place].of((row,))
        for row, places in zip(suspects, filled, strict=True)
        for place in places
    ]
    widths = [3 * len(places) for places in filled]
    return Question(suspects, b"".join(packed), widths, commands[0].kinds, answer)


def _take_ends(rows: Rows, row: int, ends: Mapping[int, tuple[Reply, Reply, Reply]]) -> None:
    marked = False
    for place, (length, head, tail) in ends.items():
        if length is not None:
            jobs = rows.counts[place][row] = jobs_in_list(length, head, tail)
            marked = marked or jobs < length
    rows.kept.marked[row] = marked
    if not (rows.wait[row] or rows.paused[row] or rows.prioritized[row]):
        rows.ready[row] = False


def _waiting_jobs(rows: Rows) -> list[Question]:
    """Jobs at both ends of `wait` and `paused`."""
    kept, batch, news = rows.kept, rows.batch, rows.waiting_news.update
    wait, long_wait = rows.where(rows.wait), _longer(rows, rows.wait)
    paused, long_paused = rows.where(rows.paused), _longer(rows, rows.paused)
    return [
        followed(wait, batch.wait_tail, kept.wait_tail, news, see_texts),
        followed(long_wait, batch.wait_head, kept.wait_head, news),
        followed(paused, batch.paused_tail, kept.paused_tail, news, see_texts),
        followed(long_paused, batch.paused_head, kept.paused_head, news),
    ]


def _longer(rows: Rows, lengths: Sequence[Reply]) -> list[int]:
    """The rows whose list has more jobs than are looked at from its tail."""
    return rows.where([length is not None and length > TAIL_JOBS for length in lengths])


# --- rate limit, priorities, active --------------------------------------------------------------


def _rate_limit(rows: Rows) -> Question:
    """`limiter` lives as long as a rate window (PTTL); only ready jobs wait for it."""
    rate_max = rows.kept.rate_max

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        remaining = rows.columns["rate_limit_remaining_seconds"]
        for row, left in zip(asked, replies, strict=True):
            if left is None:
                continue
            if left > 0:
                remaining[row] = left / 1000
                rows.limited.append(row)
            elif rate_max[row] is not None:
                remaining[row] = 0

    flags = [ready or most is not None for ready, most in zip(rows.ready, rate_max, strict=True)]
    return question(rows.where(flags), rows.batch.rate_limit, answer)


def _first_prioritized(rows: Rows) -> Question:
    """The first job of each priority that is known."""
    kept = rows.kept

    def answer(_: Sequence[int], replies: list[Reply]) -> None:
        news = kept.firsts.news_of_several(asked, widths, replies)
        see_scored(chain.from_iterable(kept.firsts[row] or () for row in news))
        for row in news:
            rows.waiting_news.add(row)
            _take_bands(rows, row)

    asked = rows.where(rows.prioritized)
    packed = [kept.bands_asked[row] or _band_commands(rows, row) for row in asked]
    widths = [kept.bands_width[row] for row in asked]
    return Question(asked, b"".join(packed), widths, (list,), answer)


def _next_prioritized(rows: Rows, due: Sequence[int]) -> Question:
    """The first job beyond the last known priority, where there may be one: jobs were added."""
    kept, counts = rows.kept, rows.prioritized

    def answer(_: Sequence[int], replies: list[Reply]) -> None:
        see_scored(replies)
        for row, first in zip(asked, replies, strict=True):
            if first:
                kept.firsts.put(row, [*(kept.firsts[row] or ()), first])
                rows.waiting_news.add(row)
                _take_bands(rows, row)
            elif row not in rows.new_bands:
                kept.looked_through[row] = counts[row]

    looking = {row for row in rows.where(counts) if counts[row] > kept.looked_through[row]}
    looking.update(row for row in due if counts[row])
    asked = [row for row in looking if 0 < len(kept.bands[row]) < MOST_BANDS]
    packed = [_band_command(rows, row, kept.bands[row][-1] + 1) for row in asked]
    return Question(asked, b"".join(packed), [1] * len(asked), (list,), answer)


def _band_commands(rows: Rows, row: int) -> bytes:
    """What asks for the first job of each known priority; of any, where none is known."""
    kept = rows.kept
    starts = [0, *(priority + 1 for priority in kept.bands[row][:-1])]
    kept.bands_width[row] = len(starts)
    kept.bands_asked[row] = b"".join([_band_command(rows, row, start) for start in starts])
    return kept.bands_asked[row]


def _band_command(rows: Rows, row: int, priority: int) -> bytes:
    """What asks for the first job of that priority or a less urgent one."""
    if priority == 0:  # as good as by score, and cheaper
        return rows.batch.command("ZRANGE", row, b"prioritized", 0, 0, "WITHSCORES")
    least = priority * PRIORITY_BAND
    more = (least, "+inf", "WITHSCORES", "LIMIT", 0, 1)
    return rows.batch.command("ZRANGEBYSCORE", row, b"prioritized", *more)


def _take_bands(rows: Rows, row: int) -> None:
    kept = rows.kept
    bands = tuple(int(score // PRIORITY_BAND) for _, score in firsts_of(kept.firsts[row]))
    if bands != kept.bands[row]:
        rows.new_bands.add(row)
        kept.bands[row], kept.bands_asked[row] = bands, b""
        kept.looked_through[row] = 0  # there may be more: look again


def _active_jobs(rows: Rows) -> list[Question]:
    """New ones come to index 0, so the last one was started first.

    The newest tells of movement, so it is looked at where there is ready work, and is the oldest
    where there is one; where a marker may be in its place, there is need of the other.
    """
    kept, batch, news = rows.kept, rows.batch, rows.active_news.update
    several = [
        active is not None and active > 1 and (ready or old)
        for active, ready, old in zip(rows.active, rows.ready, kept.old_version, strict=True)
    ]
    return [
        followed(rows.where(rows.active), batch.oldest_active, kept.oldest_active, news),
        followed(rows.where(several), batch.newest_active, kept.newest_active, news),
    ]


# --- delayed jobs and schedulers -----------------------------------------------------------------


def _first_delayed(rows: Rows) -> Question:
    kept = rows.kept

    def note(news: list[int]) -> None:
        for row in news:
            score = _first_score(kept.first_delayed[row])
            kept.delayed_ms[row] = due_ms(score) if score is not None else None

    asked = rows.where(rows.delayed)
    return followed(asked, rows.batch.first_delayed, kept.first_delayed, note, see_scored)


def _schedulers(rows: Rows) -> Question:
    """A scheduler moves on when a worker starts its iteration: without one it stays behind."""
    kept = rows.kept

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        for row, count in zip(asked, replies[::2], strict=True):
            kept.schedulers[row] = count
        news = kept.first_scheduled.news(asked, replies[1::2])
        see_scored([kept.first_scheduled[row] for row in news])
        for row in news:
            kept.scheduled_ms[row] = _first_score(kept.first_scheduled[row])

    # not asked where there were none; whether there are some now comes with the settings
    asked = [row for row, count in enumerate(kept.schedulers) if count != 0]
    return question(asked, rows.batch.schedulers, answer)


def _first_score(reply: Reply) -> float | None:
    """The score of a sorted set's first member; None where there is none, or it is not known."""
    return finite(reply[1]) if reply else None
