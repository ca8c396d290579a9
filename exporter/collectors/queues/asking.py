"""Questions about some rows of a batch, asked together in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.collectors.contract import Context
from exporter.collectors.queues.kept import Seen
from exporter.collectors.queues.plan import Batch, Commands
from exporter.connection import Reply, all_lists, all_of

WHAT: Final = "a command on the queues"
_SCORED: Final = frozenset({0, 2})

Answer = Callable[[Sequence[int], list[Reply]], None]
"""Takes all rows and all replies of a question; None stands where Redis had an error."""


@dataclass(slots=True)
class Question:
    """One thing asked of some rows."""

    rows: Sequence[int]
    packed: bytes
    """The commands of all rows."""
    widths: Sequence[int]
    """How many commands there are for each row."""
    kinds: Sequence[type]
    """The types of a row's replies, over again where there are more of them."""
    answer: Answer


def question(rows: Sequence[int], commands: Commands, answer: Answer) -> Question:
    """The same commands for each row."""
    return Question(
        rows, commands.of(rows), [len(commands.kinds)] * len(rows), commands.kinds, answer
    )


def followed(
    rows: Sequence[int],
    commands: Commands,
    seen: Seen,
    note: Callable[[list[int]], object],
    see: Callable[[Sequence[Reply]], None] | None = None,
) -> Question:
    """One command for each row; `note` gets the rows whose replies differ from the last poll's.

    `see` raises `RedisFailure` for replies of several parts that no Redis gives.
    """

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        if news := seen.news(asked, replies):
            if see is not None:
                # those that are the same have been looked at before
                see([seen[row] for row in news])
            note(news)

    return question(rows, commands, answer)


def see_texts(replies: Iterable[Reply]) -> None:
    """See that replies are lists of texts. Raises `RedisFailure`."""
    all_lists(replies, WHAT)


def see_scored(replies: Iterable[Reply]) -> None:
    """See that replies are a member with its score, or empty. Raises `RedisFailure`."""
    all_lists(replies, WHAT, _SCORED)


def see_fields(replies: Iterable[Reply], count: int) -> None:
    """See that replies are so many fields, of which any may be missing. Raises `RedisFailure`."""
    all_lists(replies, WHAT, frozenset({count}), gaps=True)


def ask(context: Context, packed: bytes, count: int, where: Callable[[int], str]) -> list[Reply]:
    """The replies, None in the place of an error; `where` names a place for the log."""
    batch = context.client.batch(packed, count)
    for place in batch.failed:
        context.faults.add(batch.replies[place], where(place))
        batch.replies[place] = None
    return batch.replies


def ask_all(context: Context, batch: Batch, questions: Sequence[Question]) -> None:
    """Ask everything at once and hand out the answers."""
    packed = b"".join([asked.packed for asked in questions])
    counts = [sum(asked.widths) for asked in questions]
    replies: list[Reply] = []
    if packed:
        replies = ask(context, packed, sum(counts), lambda place: _owner(batch, questions, place))
    start = 0
    for asked, count in zip(questions, counts, strict=True):
        found = replies[start : start + count]
        for place, kind in enumerate(asked.kinds):
            all_of(kind, found[place :: len(asked.kinds)], WHAT)
        asked.answer(asked.rows, found)
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
