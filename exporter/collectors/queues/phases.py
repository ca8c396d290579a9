"""The phases of a poll: up to four round trips for a batch, then its columns."""

from __future__ import annotations

from itertools import chain
from typing import Any

from exporter.collectors.contract import Context
from exporter.collectors.queues.batches import QueueBatch
from exporter.collectors.queues.looks import LookBudget
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import QUEUE_COMMAND, ask, ask_all, key_for_log
from exporter.collectors.queues.rotation import Rotation
from exporter.collectors.queues.subjects import COUNTS
from exporter.connection import expect_type, reply_limit
from exporter.parsing import MAX_LABEL_BYTES
from exporter.state.queue_table import Column

Columns = dict[Column[Any], list[Any]]


def read_batch(
    batch: QueueBatch, context: Context, rotation: Rotation, looks: LookBudget, now_ms: float
) -> tuple[list[bool], Columns]:
    """Whether each queue of the batch exists, and all columns. `now_ms` is the server's Unix time.

    Raises `RedisFailure` if the batch could not be read.
    """
    poll = _read_counts(batch, context, rotation, looks, now_ms)
    subjects = batch.subjects
    # each round trip is complete before it is sent: questions depend on the counts or on replies of
    # the previous round trip, never on each other
    ask_all(context, batch.queues, list(chain.from_iterable([s.ask(poll) for s in subjects])))
    ask_all(context, batch.queues, list(chain.from_iterable([s.ask_jobs(poll) for s in subjects])))
    ask_all(context, batch.queues, list(chain.from_iterable([s.ask_again(poll) for s in subjects])))
    columns: Columns = {
        count.column: poll.counts[count] for count in COUNTS if count.column is not None
    }
    for subject in subjects:
        columns.update(subject.fill(poll))  # type: ignore[arg-type] # each column has its own type
    context.errors.add_oversized(
        f"cut library versions of more than {MAX_LABEL_BYTES} bytes", poll.oversized_versions
    )
    return poll.exists, columns


def _read_counts(
    batch: QueueBatch, context: Context, rotation: Rotation, looks: LookBudget, now_ms: float
) -> BatchPoll:
    width = len(COUNTS)

    def where(place: int) -> str:
        row, number = divmod(place, width)
        command = COUNTS[number].command
        return f"{command.name} {key_for_log(batch.queues[row], command.suffix)}"

    count = len(batch.queues) * width
    replies = ask(context, batch.counts, count, count * reply_limit(int), where)
    expect_type(int, replies, QUEUE_COMMAND)
    counts = {count: replies[place::width] for place, count in enumerate(COUNTS)}
    now, times = context.now, context.event_times
    return BatchPoll(batch.queues, counts, rotation, now, now_ms, times, looks)
