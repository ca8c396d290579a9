"""One batch at one poll: three round trips at the most, and the columns that come of them."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.bullmq import COUNTS
from exporter.collectors.contract import Context
from exporter.collectors.queues.asking import ask, ask_all, shown
from exporter.collectors.queues.jobs import job_questions, show_ages
from exporter.collectors.queues.movement import note_progress
from exporter.collectors.queues.open import open_questions
from exporter.collectors.queues.plan import Batch
from exporter.collectors.queues.rows import Column, Rows


def read_batch(batch: Batch, context: Context, due: Sequence[int], now_ms: float) -> Rows:
    """Read a batch; `due` are the rows whose settings are read, `now_ms` is the server's time."""
    width = len(COUNTS)
    replies = ask(
        context,
        batch.counts,
        len(batch.queues) * width,
        lambda place: _count_name(batch, *divmod(place, width)),
    )
    rows = Rows(batch, context.now, now_ms, [replies[place::width] for place in range(width)])
    ask_all(context, batch, open_questions(rows, due))
    ask_all(context, batch, job_questions(rows))
    show_ages(rows)
    _finish(rows)
    return rows


def _count_name(batch: Batch, row: int, column: int) -> str:
    return f"{COUNTS[column][0]} {shown(batch, row, COUNTS[column][1])}"


def _finish(rows: Rows) -> None:
    columns, memories = rows.columns, rows.batch.memories
    columns["waiting"] = _sum(rows.wait, rows.paused)
    counts = (rows.active, rows.prioritized, rows.delayed, *rows.counts[5:8])
    names = ("active", "prioritized", "delayed", "waiting-children", "completed", "failed")
    columns |= zip(names, counts, strict=True)
    columns["paused"], columns["events_stream_length"] = rows.counts[8:]
    columns["concurrency_limit"] = [
        memory.settings.concurrency if memory.settings else None for memory in memories
    ]
    columns["schedulers"] = [memory.schedulers for memory in memories]
    _zeros(rows)
    _movement(rows)
    columns["ready_since"] = [memory.ready_since for memory in memories]
    columns["still_since"] = [memory.still_since for memory in memories]


def _zeros(rows: Rows) -> None:
    """What is 0 because there is nothing that it could be about."""
    columns = rows.columns
    _fill(columns["oldest_active_seconds"], columns["active"])
    _fill(columns["oldest_waiting_seconds"], _sum(columns["waiting"], columns["prioritized"]))
    for name in ("delayed_overdue_jobs", "delayed_overdue_seconds"):
        _fill(columns[name], columns["delayed"])
    for name in ("schedulers_overdue", "schedulers_overdue_seconds"):
        _fill(columns[name], columns["schedulers"])


def _fill(column: Column, counts: Column) -> None:
    for row, count in enumerate(counts):
        if count == 0:
            column[row] = 0


def _sum(a: Column, b: Column) -> Column:
    return [None if x is None or y is None else x + y for x, y in zip(a, b, strict=True)]


def _movement(rows: Rows) -> None:
    finished = zip(rows.columns["completed"], rows.columns["failed"], strict=True)
    ready = rows.ready
    for row, (memory, counts) in enumerate(zip(rows.batch.memories, finished, strict=True)):
        if row not in ready:
            memory.ready_since = memory.still_since = None
            continue
        seen = rows.progress_of(row)
        seen.finished = counts
        note_progress(memory, seen, rows.waiting[row], rows.now)
