"""Questions: commands for some rows of a batch. Those of all subjects share a round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.contract import Context
from exporter.collectors.queues.memory import ReplyCache
from exporter.connection import Command, Reply, expect_lists, expect_type, reply_limit

QUEUE_COMMAND: Final = "a queue command"
"""For error messages."""

ReplyHandler = Callable[[Sequence[int], list[Reply]], None]
"""Called with the rows and all replies of a question; an error reply is None."""


class RowCommands:
    """The same commands for each row, packed when first needed, then reused."""

    def __init__(self, queues: Sequence[Queue], *commands: Command) -> None:
        self._queues = queues
        self._commands = commands
        self._packed: list[bytes] = [b""] * len(queues)
        self.kinds = [command.reply for command in commands]
        """The types of the replies of one row."""

    def of(self, rows: Sequence[int]) -> bytes:
        """The packed commands of these rows, in order."""
        packed = self._packed
        return b"".join([packed[row] or self._pack(row) for row in rows])

    def _pack(self, row: int) -> bytes:
        key = self._queues[row].key
        packed = self._packed[row] = b"".join([command.on(key) for command in self._commands])
        return packed


@dataclass(slots=True)
class Question:
    """Commands for some rows, with the handler of their replies."""

    rows: Sequence[int]
    packed: bytes
    """The commands of all rows."""
    widths: Sequence[int]
    """The number of commands for each row."""
    kinds: Sequence[type]
    """The types of the replies, repeated cyclically."""
    handle: ReplyHandler


def question(rows: Sequence[int], commands: RowCommands, handle: ReplyHandler) -> Question:
    """A question with the same commands for each row."""
    return Question(
        rows, commands.of(rows), [len(commands.kinds)] * len(rows), commands.kinds, handle
    )


def cached_question(
    rows: Sequence[int],
    commands: RowCommands,
    cache: ReplyCache,
    changed: Callable[[list[int]], object],
    check: Callable[[Sequence[Reply]], None] | None = None,
) -> Question:
    """A question with one command for each row.

    `changed` is called with the rows whose reply differs from that of the last poll. `check` raises
    `RedisFailure` for a malformed reply; it is called with changed replies only.
    """

    def handle(asked: Sequence[int], replies: list[Reply]) -> None:
        if rows_changed := cache.update(asked, replies):
            if check is not None:
                check([cache[row] for row in rows_changed])
            changed(rows_changed)

    return question(rows, commands, handle)


def check_string_lists(replies: Iterable[Reply]) -> None:
    """Raises `RedisFailure` unless each reply is a list of strings."""
    expect_lists(replies, QUEUE_COMMAND)


def check_scored(replies: Iterable[Reply], most: int = 1) -> None:
    """Raises `RedisFailure` unless each reply is up to `most` members with their scores."""
    expect_lists(replies, QUEUE_COMMAND, frozenset(range(0, 2 * most + 1, 2)))


def check_fields(replies: Iterable[Reply], count: int) -> None:
    """Raises `RedisFailure` unless each reply is a list of `count` fields; fields may be nil."""
    expect_lists(replies, QUEUE_COMMAND, frozenset({count}), gaps=True)


def ask(
    context: Context, packed: bytes, count: int, limit: int, where: Callable[[int], str]
) -> list[Reply]:
    """The replies, with None for each error; `where` describes a command by index, for the log."""
    batch = context.client.batch(packed, count, limit)
    for place in batch.failed:
        context.errors.add(batch.replies[place], where(place))
        batch.replies[place] = None
    return batch.replies


def ask_all(context: Context, queues: Sequence[Queue], questions: Sequence[Question]) -> None:
    """Send all questions in one round trip and call their handlers, in the same order."""
    packed = b"".join([each.packed for each in questions])
    counts = [sum(each.widths) for each in questions]
    replies: list[Reply] = []
    if packed:
        limit = sum(
            count * max(map(reply_limit, each.kinds))
            for each, count in zip(questions, counts, strict=True)
        )
        replies = ask(
            context, packed, sum(counts), limit, lambda place: _queue_at(queues, questions, place)
        )
    start = 0
    for each, count in zip(questions, counts, strict=True):
        own = replies[start : start + count]
        for place, kind in enumerate(each.kinds):
            expect_type(kind, own[place :: len(each.kinds)], QUEUE_COMMAND)
        each.handle(each.rows, own)
        start += count


def _queue_at(queues: Sequence[Queue], questions: Sequence[Question], place: int) -> str:
    """The queue of the command at that index, for the log."""
    for each in questions:
        for row, width in zip(each.rows, each.widths, strict=True):
            if place < width:
                return key_for_log(queues[row])
            place -= width
    return ""


def key_for_log(queue: Queue, suffix: str = "") -> str:
    """A key of the queue, truncated to 200 bytes."""
    return repr((queue.key + suffix.encode())[:200])
