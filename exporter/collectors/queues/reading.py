"""One batch at one poll: three round trips at the most, and the columns that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from exporter.bullmq import COUNTS, STALLED_CHECK_GRACE_SECONDS, is_marker
from exporter.collectors.contract import Context
from exporter.collectors.queues.asking import WHAT, ask, ask_all, shown
from exporter.collectors.queues.jobs import active_ends, job_questions
from exporter.collectors.queues.kept import Progress
from exporter.collectors.queues.movement import note_idle, note_progress
from exporter.collectors.queues.open import open_questions
from exporter.collectors.queues.plan import Batch
from exporter.collectors.queues.rows import Column, Rows, added, firsts_of
from exporter.collectors.queues.turns import Turns
from exporter.connection import all_of


def read_batch(batch: Batch, context: Context, turns: Turns, now_ms: float) -> Rows:
    """Read a batch; `now_ms` is the server's time."""
    width = len(COUNTS)
    replies = ask(
        context,
        batch.counts,
        len(batch.queues) * width,
        lambda place: _count_name(batch, *divmod(place, width)),
    )
    all_of(int, replies, WHAT)
    rows = Rows(batch, context.now, now_ms, [replies[place::width] for place in range(width)])
    ask_all(context, batch, open_questions(rows, turns.settings(batch.kept)))
    rows.asked_lives = turns.lives(batch.kept, rows.ready)
    ask_all(context, batch, job_questions(rows))
    _movement(rows)
    _finish(rows)
    return rows


def _count_name(batch: Batch, row: int, column: int) -> str:
    return f"{COUNTS[column][0]} {shown(batch, row, COUNTS[column][1])}"


# --- movement ------------------------------------------------------------------------------------


def _movement(rows: Rows) -> None:
    """Only where something is otherwise than at the last poll."""
    kept, everyone = rows.kept, list(rows.all)
    completed, failed = rows.counts[6:8]
    touched = rows.waiting_news.union(
        rows.active_news,
        kept.completed.news(everyone, completed),
        kept.failed.news(everyone, failed),
    )
    for row, (ready, since) in enumerate(zip(rows.ready, kept.ready_since, strict=True)):
        if not ready:
            if since is not None:
                note_idle(kept, row)
        elif since is None or row in touched:
            note_progress(kept, row, _progress(rows, row), kept.jobs[row], rows.now)


def _progress(rows: Rows, row: int) -> Progress:
    kept = rows.kept
    firsts, active = firsts_of(kept.firsts[row]), active_ends(rows, row)
    tails = (kept.wait_tail[row] or (), kept.paused_tail[row] or ())
    jobs = [[job for job in tail if not is_marker(job)] for tail in tails]
    return Progress(
        next_job=next((tail[-1] for tail in jobs if tail), None),
        first_prioritized=firsts[0] if firsts else None,
        newest_active=active[-1] if active else None,
        finished=(rows.counts[6][row], rows.counts[7][row]),
    )


# --- columns -------------------------------------------------------------------------------------


def _finish(rows: Rows) -> None:
    columns, kept = rows.columns, rows.kept
    columns["waiting"] = added(rows.wait, rows.paused)
    counts = (rows.active, rows.prioritized, rows.delayed, *rows.counts[5:8])
    names = ("active", "prioritized", "delayed", "waiting-children", "completed", "failed")
    columns |= zip(names, counts, strict=True)
    columns["paused"], columns["events_stream_length"] = rows.counts[8:]
    ready = added(columns["waiting"], rows.prioritized)
    columns["oldest_waiting_seconds"] = _ages(rows, ready, kept.oldest_ms)
    columns["oldest_active_seconds"] = _ages(rows, rows.active, kept.started_ms)
    columns["concurrency_limit"] = list(kept.concurrency)
    columns["schedulers"] = list(kept.schedulers)
    _lives(rows)
    columns["ready_since"] = list(kept.ready_since)
    columns["still_since"] = list(kept.still_since)


def _ages(rows: Rows, counts: Column, since_ms: Sequence[float | None]) -> Column:
    """Seconds; 0 where there is nothing that has an age, None where it is not known."""
    now_ms = rows.now_ms
    return [
        0
        if count == 0
        else None
        if since is None
        else (now_ms - since) / 1000
        if since < now_ms
        else 0.0
        for count, since in zip(counts, since_ms, strict=True)
    ]


def _lives(rows: Rows) -> None:
    """What was found a moment ago holds for the rows that were not asked about now."""
    kept, alive, locked = rows.kept, rows.columns["worker_alive"], rows.columns["active_locked"]
    oldest = rows.now_ms - STALLED_CHECK_GRACE_SECONDS * 1000
    for row in chain(rows.empty, rows.where(kept.life_known)):
        alive[row] = int(kept.stalled_check_ms[row] > oldest)
        locked[row] = kept.active_locked[row]
