"""Questions about some rows of a batch, asked together in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.collectors.contract import Context
from exporter.collectors.queues.plan import Batch
from exporter.connection import Reply

Answer = Callable[[Sequence[int], list[Reply]], None]
"""Takes all rows and all replies of a question; None stands where Redis had an error."""


@dataclass(slots=True)
class Question:
    """One thing asked of some rows."""

    rows: Sequence[int]
    packed: Sequence[bytes]
    """The commands of each row."""
    widths: Sequence[int]
    """The replies of each row."""
    answer: Answer


def question(rows: Sequence[int], packed: Sequence[bytes], width: int, answer: Answer) -> Question:
    """A question with the same number of replies for each row."""
    return Question(rows, packed, [width] * len(rows), answer)


def ask(context: Context, packed: bytes, count: int, where: Callable[[int], str]) -> list[Reply]:
    """The replies, None in the place of an error; `where` names a place for the log."""
    batch = context.client.batch(packed, count)
    for place in batch.failed:
        context.faults.add(batch.replies[place], where(place))
        batch.replies[place] = None
    return batch.replies


def ask_all(context: Context, batch: Batch, questions: Sequence[Question]) -> None:
    """Ask everything at once and hand out the answers."""
    packed = b"".join(part for asked in questions for part in asked.packed)
    if not packed:
        return
    counts = [sum(asked.widths) for asked in questions]
    replies = ask(context, packed, sum(counts), lambda place: _owner(batch, questions, place))
    start = 0
    for asked, count in zip(questions, counts, strict=True):
        asked.answer(asked.rows, replies[start : start + count])
        start += count


def _owner(batch: Batch, questions: Sequence[Question], place: int) -> str:
    """The queue that the reply at that place belongs to."""
    for asked in questions:
        for row, width in zip(asked.rows, asked.widths, strict=True):
            if place < width:
                return shown(batch, row)
            place -= width
    return ""


def shown(batch: Batch, row: int, suffix: str = "") -> str:
    """A key for the log; a name may be long."""
    return repr((batch.queues[row].key + suffix.encode())[:200])
