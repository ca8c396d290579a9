"""Parent jobs of flows that wait for their children, and those that wait for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from exporter.bullmq import Queue
from exporter.collectors.queues.looks import look_question
from exporter.collectors.queues.memory import PerRow
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import Question, check_fields, check_string_lists
from exporter.collectors.queues.subject import Count
from exporter.collectors.queues.suspects import (
    MAX_SUSPECTS,
    NO_SUSPECTS,
    StuckSubject,
)
from exporter.connection import KEY, Command, Reply, is_string_list, unexpected
from exporter.parsing import finite, id_text, is_digits
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckJob, StuckJobs, StuckKind

WAITING_CHILDREN: Final = Column[int]("waiting-children")
STUCK_PARENTS: Final = Column[StuckJobs]("stuck_parents_examples", internal=True)
STUCK_PARENT_JOBS: Final = Column[int]("stuck_parents")
"""None until the first stuck parent of the queue is found."""

WAITING_CHILDREN_JOBS: Final = Count(
    Command("ZCARD", "waiting-children", cost="the number of waiting-children jobs"),
    ready=False,
    proves_existence=True,
    column=WAITING_CHILDREN,
)

_NEXT_SECONDS: Final = 20.0
"""How often a queue's next parent is looked at; those that may be stuck, every `LOOK_SECONDS`."""
_COUNT: Final = 10
"""The COUNT of SSCAN, which may return more."""
_CHILDREN: Final = 2 * _COUNT
"""Maximum number of children of a parent that a look takes."""
_FIRST_CHILDREN: Final = 3
"""The same at the first look at a parent: of most parents, these show that it is not stuck."""
_COST: Final = "stuck parents of flows"
_NEXT_PARENT: Final = Command(
    "ZRANGE", "waiting-children", (), list, _COST, (KEY, 0, 0), microseconds=1.3
)
_SINCE: Final = Command(
    "ZSCORE", "waiting-children", (), bytes, _COST, (KEY, "0"), microseconds=1.8
)
_OPEN: Final = Command("SSCAN", ":dependencies", (), list, _COST, (KEY, 0), microseconds=4.0)
"""Sent with the key of a parent: its unfinished children, as full keys in any queue. A child that
completes is removed from them; one that fails for good is not, unless its options say so."""
_CHILD: Final = Command("HMGET", "", ("timestamp", "finishedOn"), list, _COST, microseconds=2.2)
"""Sent with the key of a child."""
_PARENT_COST: Final = _SINCE.microseconds + _OPEN.microseconds
_NEW_COST: Final = _PARENT_COST + _FIRST_CHILDREN * _CHILD.microseconds
_AGAIN_COST: Final = _PARENT_COST + _CHILDREN * _CHILD.microseconds
"""Redis' time for a look, at most."""


class Pass(NamedTuple):
    """How far the children of a parent were looked at; none of them can finish."""

    cursor: int = 0
    """The cursor of SSCAN."""
    skip: int = 0
    """Members of this page that were looked at: a small set is one page, whatever COUNT is."""
    failed: int = 0
    """Children that have failed for good."""
    gone: int = 0
    """Children whose jobs do not exist."""


_BEGIN: Final = Pass()


class _Look(NamedTuple):
    """The look at a parent in one poll."""

    row: int
    parent: bytes
    since: float
    """Unix time in seconds since when the parent waits."""
    before: Pass
    children: Sequence[bytes]
    then: Pass | None
    """Where the next look goes on, without the counts of this one; None at the end."""


class Flows(StuckSubject):
    """The number of parents with unfinished children, and parents of which no child can finish.

    Such a parent waits for ever: its children have failed for good, or their jobs are gone. A look
    takes a few parents in turn, and a few children of each. One child that may finish clears the
    parent; if there is none in the whole set, the parent is a suspect.
    """

    counts = (WAITING_CHILDREN_JOBS,)
    commands = (_NEXT_PARENT, _SINCE, _OPEN, _CHILD)
    columns = (STUCK_PARENTS, STUCK_PARENT_JOBS)
    kind = StuckKind.PARENT
    examples, number = columns

    def __init__(self, queues: Sequence[Queue]) -> None:
        super().__init__(queues)
        size = len(queues)
        self._next = PerRow[int](size, initial=0)
        """The rank of the first parent that the next look takes."""
        self._passes = PerRow[Mapping[bytes, Pass]](size, initial={})
        """The parents that looks are not done with."""
        self._chosen = PerRow[Sequence[bytes]](size, initial=())
        """The parents that the next look takes for the first time: at most one."""
        self._parents: list[tuple[int, bytes]] = []
        """The row and the ID of the parents of this poll's looks."""
        self._looks: list[_Look] = []

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        # parents are chosen one poll before their look, which saves a round trip
        counts = poll.counts[WAITING_CHILDREN_JOBS]
        looks = self._due_again(poll, counts) if self._any_tracked else {}
        cost = _AGAIN_COST * sum(map(len, looks.values()))
        for row in poll.where(self._chosen):
            looks[row] = [*looks.get(row, ()), *self._chosen[row]]
            cost += _NEW_COST
        following = {
            row
            for row in self.due(poll, _NEXT_SECONDS)
            if counts[row] and len(self._tracked(row)) < MAX_SUSPECTS
        }
        cost += _NEXT_PARENT.microseconds * len(following)
        # one list, so that new parents have their turn beside those that are looked at again
        rows = sorted(following | looks.keys())
        rows = self.affordable(poll, rows, cost / max(1, len(rows)))
        self._parents = [(row, parent) for row in rows for parent in looks.get(row, ())]
        next_ = [(row, counts[row] or 1) for row in rows if row in following]
        return [self._ask_parents(poll), self._ask_next(poll, next_)]

    def _ask_next(self, poll: BatchPoll, counts: Sequence[tuple[int, int]]) -> Question:
        """Choose the parents of the next look; `counts` are rows with their number of parents."""
        packed = []
        for row, count in counts:
            rank = self._next[row] = self._next[row] % count
            packed.append(_NEXT_PARENT.on(self.queues[row].key, more=(rank, rank)))

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_string_lists(replies)
            for row, found in zip(rows, replies, strict=True):
                self._next[row] += 1
                self._chosen[row] = [
                    parent for parent in found or () if parent not in self._tracked(row)
                ]

        rows = [row for row, _ in counts]
        return look_question(poll, rows, b"".join(packed), [1] * len(rows), (_NEXT_PARENT,), take)

    def _ask_parents(self, poll: BatchPoll) -> Question:
        """Look at the parents: do they still wait, and for what. Both is asked at once: else one
        that continues meanwhile would seem to wait for nothing."""
        packed = []
        for row, parent in self._parents:
            key, cursor = self.queues[row].key, self._passes[row].get(parent, _BEGIN).cursor
            packed.append(_SINCE.on(key, more=(parent,)))
            packed.append(_OPEN.on(key + parent, more=(cursor, "COUNT", _COUNT)))

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            self._looks = []
            pairs = zip(self._parents, replies[::2], replies[1::2], strict=True)
            for (row, parent), score, page in pairs:
                since = finite(score) if score is not None else None
                if since is None:  # it does not wait any more, or that is unknown
                    self._conclude(poll, row, parent, None)
                elif page is not None:
                    self._looks.append(self._look(row, parent, since / 1000, page))
            for row in rows:
                self._chosen[row] = ()

        rows = [row for row, _ in self._parents]
        return look_question(poll, rows, b"".join(packed), [2] * len(rows), (_SINCE, _OPEN), take)

    def _due_again(self, poll: BatchPoll, counts: Sequence[int | None]) -> dict[int, list[bytes]]:
        """The tracked parents that are due, by row; forgets those of queues without parents."""
        due = {}
        for row in filter(self._has_tracked, self.due(poll)):
            if counts[row]:
                due[row] = self._tracked(row)
            elif counts[row] == 0:
                self._passes[row] = {}
                self.clear(row)
        return due

    @property
    def _any_tracked(self) -> bool:
        return any(self._passes) or self.any_suspects

    def _has_tracked(self, row: int) -> bool:
        return self.suspects[row] is not NO_SUSPECTS or bool(self._passes[row])

    def _tracked(self, row: int) -> list[bytes]:
        """The suspects, and the parents that looks are not done with."""
        if not self._has_tracked(row):
            return []
        return list(dict.fromkeys([*self._passes[row], *self.suspects[row].ids]))

    def _look(self, row: int, parent: bytes, since: float, page: Sequence[Reply]) -> _Look:
        """The look at the next children on a page of SSCAN. Raises `RedisFailure`."""
        if len(page) != 2 or not is_digits(page[0]) or not is_string_list(page[1]):
            raise unexpected("SSCAN")
        known = parent in self._passes[row] or parent in self.suspects[row].ids
        before = self._passes[row].get(parent, _BEGIN)
        cursor, members = int(page[0]), page[1]
        end = before.skip + (_CHILDREN if known else _FIRST_CHILDREN)
        children = members[before.skip : end]
        if end < len(members):
            then: Pass | None = before._replace(skip=end)
        else:
            then = before._replace(cursor=cursor, skip=0) if cursor else None
        return _Look(row, parent, since, before, children, then)

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        looks = self._looks
        if not looks:
            return []

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            check_fields(replies, 2)
            rest = iter(replies)
            for look in looks:
                self._judge(poll, look, [next(rest) for _ in look.children])

        packed = [_CHILD.on(child) for look in looks for child in look.children]
        widths = [len(look.children) for look in looks]
        rows = [look.row for look in looks]
        return [look_question(poll, rows, b"".join(packed), widths, (_CHILD,), take)]

    def _judge(self, poll: BatchPoll, look: _Look, children: Sequence[Reply]) -> None:
        """Conclude from the times of the children of this look."""
        unknown = any(reply is None for reply in children)
        if unknown or any(added is not None and end is None for added, end in children):
            self._conclude(poll, look.row, look.parent, None)
            return
        failed = look.before.failed + sum(end is not None for _, end in children)
        gone = look.before.gone + sum(added is None and end is None for added, end in children)
        if look.then is not None:
            then = look.then._replace(failed=failed, gone=gone)
            self._passes[look.row] = {**self._passes[look.row], look.parent: then}
            return
        proof = _proof(failed, gone)
        stuck = StuckJob(StuckKind.PARENT, id_text(look.parent), look.since, proof)
        self._conclude(poll, look.row, look.parent, stuck)

    def _conclude(self, poll: BatchPoll, row: int, parent: bytes, stuck: StuckJob | None) -> None:
        """End the pass over a parent's children; it is stuck, or cleared if `stuck` is None."""
        passes = self._passes[row]
        if parent in passes:
            self._passes[row] = {job: each for job, each in passes.items() if job != parent}
        found, cleared = ({}, {parent}) if stuck is None else ({parent: stuck}, set())
        self.note_look(poll, row, found, cleared)


def _proof(failed: int, gone: int) -> str:
    parts = [
        f"{number} {what}"
        for number, what in ((failed, "failed for good"), (gone, "do not exist any more"))
        if number
    ]
    return f"of its children, {' and '.join(parts)}" if parts else "it waits for no child"
