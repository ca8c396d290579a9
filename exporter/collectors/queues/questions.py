"""Questions about some rows of a batch; those of all subjects go into one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context
from exporter.collectors.queues.memory import ReplyCache
from exporter.connection import Command, Reply, expect_lists, expect_type

WHAT: Final = "a queue command"
_SCORED: Final = frozenset({0, 2})

Answer = Callable[[Sequence[int], list[Reply]], None]
"""Takes a question's rows and all its replies; None stands where Redis replied with an error."""


class RowCommands:
    """The same commands for each row, packed when a row first needs them, then kept."""

    def __init__(self, queues: Sequence[Queue], *commands: Command) -> None:
        self._queues = queues
        self._commands = commands
        self._packed: list[bytes] = [b""] * len(queues)
        self.kinds = [command.reply for command in commands]
        """The types of a row's replies."""

    def of(self, rows: Sequence[int]) -> bytes:
        """Those of some rows, in order."""
        packed = self._packed
        return b"".join([packed[row] or self._pack(row) for row in rows])

    def _pack(self, row: int) -> bytes:
        key = self._queues[row].key
        packed = self._packed[row] = b"".join([command.on(key) for command in self._commands])
        return packed


@dataclass(slots=True)
class Question:
    """One thing asked of some rows."""

    rows: Sequence[int]
    packed: bytes
    """The commands of all rows."""
    widths: Sequence[int]
    """The number of commands of each row."""
    kinds: Sequence[type]
    """The types of a row's replies, repeated where there are more of them."""
    answer: Answer


def question(rows: Sequence[int], commands: RowCommands, answer: Answer) -> Question:
    """The same commands for each row."""
    return Question(
        rows, commands.of(rows), [len(commands.kinds)] * len(rows), commands.kinds, answer
    )


def cached_question(
    rows: Sequence[int],
    commands: RowCommands,
    cache: ReplyCache,
    changed: Callable[[list[int]], object],
    check: Callable[[Sequence[Reply]], None] | None = None,
) -> Question:
    """One command for each row; `changed` gets the rows whose reply differs from the last poll's.

    `check` raises `RedisFailure` for a malformed reply; it sees changed replies only, because the
    others were checked when they came.
    """

    def answer(asked: Sequence[int], replies: list[Reply]) -> None:
        if rows_changed := cache.update(asked, replies):
            if check is not None:
                check([cache[row] for row in rows_changed])
            changed(rows_changed)

    return question(rows, commands, answer)


def check_texts(replies: Iterable[Reply]) -> None:
    """Raises `RedisFailure` unless each is a list of strings."""
    expect_lists(replies, WHAT)


def check_scored(replies: Iterable[Reply]) -> None:
    """Raises `RedisFailure` unless each is a member with its score, or empty."""
    expect_lists(replies, WHAT, _SCORED)


def check_fields(replies: Iterable[Reply], count: int) -> None:
    """Raises `RedisFailure` unless each is a list of `count` fields, of which any may be nil."""
    expect_lists(replies, WHAT, frozenset({count}), gaps=True)


def ask(context: Context, packed: bytes, count: int, where: Callable[[int], str]) -> list[Reply]:
    """The replies, None in the place of an error; `where` describes a place for the log."""
    found = context.client.batch(packed, count)
    for place in found.failed:
        context.errors.add(found.replies[place], where(place))
        found.replies[place] = None
    return found.replies


def ask_all(context: Context, queues: Sequence[Queue], questions: Sequence[Question]) -> None:
    """Ask everything in one round trip and hand out the answers, in the order of the questions."""
    packed = b"".join([asked.packed for asked in questions])
    counts = [sum(asked.widths) for asked in questions]
    replies: list[Reply] = []
    if packed:
        replies = ask(context, packed, sum(counts), lambda place: _owner(queues, questions, place))
    start = 0
    for asked, count in zip(questions, counts, strict=True):
        found = replies[start : start + count]
        for place, kind in enumerate(asked.kinds):
            expect_type(kind, found[place :: len(asked.kinds)], WHAT)
        asked.answer(asked.rows, found)
        start += count


def _owner(queues: Sequence[Queue], questions: Sequence[Question], place: int) -> str:
    """The queue that the reply at that place belongs to."""
    for asked in questions:
        for row, width in zip(asked.rows, asked.widths, strict=True):
            if place < width:
                return key_for_log(queues[row])
            place -= width
    return ""


def key_for_log(queue: Queue, suffix: str = "") -> str:
    """A key of the queue, cut to 200 bytes: a name may be long."""
    return repr((queue.key + suffix.encode())[:200])
