"""Delayed jobs and job schedulers: their numbers, and how overdue the most overdue one is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.bullmq import Queue, delayed_score, due_ms
from exporter.collectors.queues.looks import LOOK_SECONDS, look_question
from exporter.collectors.queues.memory import PerRow, ReplyCache
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import (
    Question,
    RowCommands,
    cached_question,
    check_scored,
    check_string_lists,
    question,
)
from exporter.collectors.queues.subject import Count
from exporter.collectors.queues.subjects.active import ACTIVE_LIST
from exporter.collectors.queues.subjects.finished_schedulers import (
    ITERATION,
    OVERDUE,
    SCHEDULER,
    OverdueSchedulers,
)
from exporter.collectors.queues.subjects.limits import PAUSED_FLAG, WINDOW
from exporter.collectors.queues.subjects.liveness import Liveness
from exporter.collectors.queues.subjects.settings import Settings
from exporter.collectors.queues.suspects import (
    MAX_SUSPECTS,
    NO_SUSPECTS,
    StuckSubject,
)
from exporter.connection import KEY, Command, Reply, unexpected
from exporter.parsing import finite, id_text
from exporter.state.queue_table import Column
from exporter.state.schedulers import MAX_SCHEDULERS, FirstSchedulers, SchedulerState
from exporter.state.stuck import StuckJob, StuckJobs, StuckKind

DELAYED: Final = Column[int]("delayed")
DELAYED_OVERDUE_JOBS: Final = Column[int]("delayed_overdue_jobs")
DELAYED_OVERDUE_SECONDS: Final = Column[float]("delayed_overdue_seconds")
STUCK_DELAYED: Final = Column[StuckJobs]("stuck_delayed_examples", internal=True)
STUCK_DELAYED_JOBS: Final = Column[int]("stuck_delayed")
"""None until the first stuck delayed job of the queue is found."""
SCHEDULERS: Final = Column[int]("schedulers")
FIRST_SCHEDULERS: Final = Column[FirstSchedulers]("first_schedulers", internal=True)
"""None if the queue has none, or if they are unknown."""
SCHEDULERS_OVERDUE: Final = Column[int]("schedulers_overdue")
SCHEDULERS_OVERDUE_SECONDS: Final = Column[float]("schedulers_overdue_seconds")
DEAD_SCHEDULER_EXAMPLES: Final = Column[StuckJobs]("dead_scheduler_examples", internal=True)
DEAD_SCHEDULERS: Final = Column[int]("dead_schedulers")
"""None until the first dead scheduler of the queue is found."""

DELAYED_JOBS: Final = Count(
    Command("ZCARD", "delayed", cost="the number of delayed jobs"),
    ready=False,
    proves_existence=True,
    column=DELAYED,
)

_GRACE_MS: Final = 5000
"""Workers promote delayed jobs when they fetch a job; Python workers up to 1 s late."""

_FIRST: Final = "overdue delayed jobs and schedulers"
_NUMBER: Final = "the number of overdue delayed jobs and schedulers"
_FIRST_DELAYED: Final = Command("ZRANGE", "delayed", (0, 0, "WITHSCORES"), list, _FIRST)
_FIRST_JOBS: Final = Command(
    "ZRANGE",
    "delayed",
    (0, MAX_SUSPECTS - 1, "WITHSCORES"),
    list,
    "delayed jobs that no worker promotes",
    microseconds=5.0,
)
_OVERDUE_DELAYED: Final = Command("ZCOUNT", "delayed", ("-inf",), cost=_NUMBER, probe=(KEY, 0, 0))
_SCHEDULERS: Final = Command("ZCARD", "repeat", cost="the number of schedulers")
_FIRST_SCHEDULERS: Final = Command(
    "ZRANGE", "repeat", (0, MAX_SCHEDULERS - 1, "WITHSCORES"), list, _FIRST
)
_OVERDUE_SCHEDULERS: Final = Command("ZCOUNT", "repeat", ("-inf",), cost=_NUMBER, probe=(KEY, 0, 0))


class Delayed(StuckSubject):
    """A due delayed job is promoted when a worker fetches a job; without workers it stays.

    It is stuck if two looks have found it overdue, the queue is neither paused nor rate limited,
    and no worker holds a job: one that does fetches the next when it has finished.
    """

    counts = (DELAYED_JOBS,)
    commands = (_FIRST_DELAYED, _OVERDUE_DELAYED, _FIRST_JOBS, WINDOW)
    columns = (
        DELAYED_OVERDUE_JOBS,
        DELAYED_OVERDUE_SECONDS,
        STUCK_DELAYED,
        STUCK_DELAYED_JOBS,
    )
    kind = StuckKind.DELAYED
    examples, number = STUCK_DELAYED, STUCK_DELAYED_JOBS

    def __init__(self, queues: Sequence[Queue], liveness: Liveness) -> None:
        super().__init__(queues)
        self._liveness = liveness
        self._ask_first = RowCommands(queues, _FIRST_DELAYED)
        self._first = ReplyCache(len(queues))
        self._due_ms = PerRow[float | None](len(queues), initial=None)
        """When the first delayed job is due, in Unix ms."""
        self._overdue = _Overdue([], [])

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        def changed(rows: list[int]) -> None:
            for row in rows:
                score = _first_score(self._first[row])
                self._due_ms[row] = due_ms(score) if score is not None else None

        asked = poll.where(poll.counts[DELAYED_JOBS])
        return [cached_question(asked, self._ask_first, self._first, changed, check_scored)]

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        self._overdue = _overdue(poll, poll.counts[DELAYED_JOBS], self._due_ms, self._first)
        before = delayed_score(poll.now_ms - _GRACE_MS)
        return [self._overdue.question(poll, _OVERDUE_DELAYED, before), self._look(poll)]

    def _look(self, poll: BatchPoll) -> Question:
        """Asks for the overdue jobs where no worker seems to promote them."""
        asked = []
        active, paused = poll.counts[ACTIVE_LIST], poll.counts[PAUSED_FLAG]
        for row in self.due(poll):
            abandoned = active[row] == 0 or self._liveness.unheld[row]
            if self._overdue.seconds[row] and abandoned and paused[row] == 0:
                asked.append(row)
            elif self.suspects[row] is not NO_SUSPECTS and self._overdue.seconds[row] is not None:
                self.clear(row)

        commands = (_FIRST_JOBS, WINDOW)
        cost = sum(command.microseconds for command in commands)
        asked = self.affordable(poll, asked, cost)

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_string_lists(replies[::2])
            for row, jobs, window in zip(rows, replies[::2], replies[1::2], strict=True):
                if len(jobs or ()) % 2:
                    raise unexpected("ZRANGE")
                if jobs is not None and window is not None:
                    self._judge(poll, row, jobs if window <= 0 else ())

        keys = [self.queues[row].key for row in asked]
        packed = b"".join([_FIRST_JOBS.on(key) + WINDOW.on(key) for key in keys])
        return look_question(poll, asked, packed, [2] * len(asked), commands, take)

    def _judge(self, poll: BatchPoll, row: int, jobs: Sequence[bytes]) -> None:
        found = {}
        for job, score in zip(jobs[::2], map(finite, jobs[1::2]), strict=True):
            due = None if score is None else due_ms(score)
            if due is not None and due < poll.now_ms - _GRACE_MS:
                text, proof = id_text(job), "it is due, and no worker has promoted it"
                found[job] = StuckJob(StuckKind.DELAYED, text, due / 1000, proof)
        cleared = set(self.suspects[row].ids) - found.keys()
        self.note_look(poll, row, found, cleared)

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        return {
            DELAYED_OVERDUE_JOBS: self._overdue.counts,
            DELAYED_OVERDUE_SECONDS: self._overdue.seconds,
            **super().fill(poll),
        }


class Schedulers(StuckSubject):
    """A scheduler advances when a worker starts its iteration; without workers it gets overdue.

    A finished one, at its limit or past its end, keeps its last time for ever and does not count. A
    dead one has lost the job that is its next iteration, as if that was removed by hand, or its
    worker was killed before it added the next one.
    """

    commands = (
        _SCHEDULERS,
        _FIRST_SCHEDULERS,
        _OVERDUE_SCHEDULERS,
        OVERDUE,
        SCHEDULER,
        ITERATION,
    )
    columns = (
        SCHEDULERS,
        FIRST_SCHEDULERS,
        SCHEDULERS_OVERDUE,
        SCHEDULERS_OVERDUE_SECONDS,
        DEAD_SCHEDULER_EXAMPLES,
        DEAD_SCHEDULERS,
    )
    kind = StuckKind.SCHEDULER
    examples, number = DEAD_SCHEDULER_EXAMPLES, DEAD_SCHEDULERS

    def __init__(self, queues: Sequence[Queue], settings: Settings) -> None:
        super().__init__(queues)
        self._settings = settings
        self._ask_number = RowCommands(queues, _SCHEDULERS)
        self._ask_first = RowCommands(queues, _SCHEDULERS, _FIRST_SCHEDULERS)
        self._numbers = PerRow[int | None](len(queues), initial=None)
        """The number of schedulers; None if unknown."""
        self._first = ReplyCache(len(queues))
        self._due_ms = PerRow[float | None](len(queues), initial=None)
        """When the next iteration of the first scheduler is due, in Unix ms."""
        self._listed = PerRow[FirstSchedulers | None](len(queues), initial=None)
        """The first schedulers as they are shown."""
        self._found = PerRow[OverdueSchedulers](len(queues), initial=OverdueSchedulers({}))
        """The overdue schedulers of each row."""
        self._overdue = _Overdue([], [])
        self._totals: dict[int, int | None] = {}
        """The number of overdue schedulers, finished or not, of rows that have any."""

    def ask(self, poll: BatchPoll) -> Iterable[Question]:
        def take_first(asked: Sequence[int], replies: list[Reply]) -> None:
            self._take_numbers(asked, replies[::2])
            changed = self._first.update(asked, replies[1::2])
            check_scored([self._first[row] for row in changed], MAX_SCHEDULERS)
            for row in changed:
                first = self._first[row]
                self._due_ms[row] = _first_score(first)
                self._listed[row] = FirstSchedulers(first, {}) if first else None

        # rows without schedulers are counted again when the settings are read
        asked = [row for row, count in enumerate(self._numbers) if count != 0]
        others = sorted(set(self._settings.due).difference(asked))
        return [
            question(others, self._ask_number, self._take_numbers),
            question(asked, self._ask_first, take_first),
        ]

    def _take_numbers(self, asked: Sequence[int], replies: Sequence[Reply]) -> None:
        for row, count in zip(asked, replies, strict=True):
            self._numbers[row] = count

    def ask_jobs(self, poll: BatchPoll) -> Iterable[Question]:
        self._overdue = _overdue(poll, self._numbers, self._due_ms, self._first)
        self._totals = {}
        before = int(poll.now_ms - _GRACE_MS)

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            check_string_lists(replies[1::2])
            for row, total, entries in zip(rows, replies[::2], replies[1::2], strict=True):
                if len(entries or ()) % 2:
                    raise unexpected("ZRANGEBYSCORE")
                self._totals[row] = None if entries is None else total
                self._found[row] = self._found[row].at(entries or ())

        asked = poll.where(self._overdue.seconds)
        packed = [
            _OVERDUE_SCHEDULERS.on(key, more=(before,))
            + OVERDUE.on(key, more=(before, "WITHSCORES", "LIMIT", 0, self._found[row].limit))
            for row in asked
            for key in (self.queues[row].key,)
        ]
        return [Question(asked, b"".join(packed), [2] * len(asked), (int, list), take)]

    def ask_again(self, poll: BatchPoll) -> Iterable[Question]:
        before = poll.now - LOOK_SECONDS
        due = {row: self._found[row].to_check(before) for row in self._totals}
        number = sum(map(len, due.values()))
        cost = (SCHEDULER.microseconds + ITERATION.microseconds) * number / max(1, len(due))
        rows = self.affordable(poll, [row for row, names in due.items() if names], cost)
        checks = [due[row] for row in rows]
        for row in due.keys() - set(rows):
            self._note_dead(poll, row, ())

        def take(_: Sequence[int], replies: list[Reply]) -> None:
            start = 0
            for row, names in zip(rows, checks, strict=True):
                end = start + 2 * len(names)
                self._found[row] = self._found[row].with_replies(poll, names, replies[start:end])
                self._note_dead(poll, row, names)
                start = end

        packed = [
            self._found[row].commands(self.queues[row].key, name)
            for row, names in zip(rows, checks, strict=True)
            for name in names
        ]
        widths = [2 * len(names) for names in checks]
        return [look_question(poll, rows, b"".join(packed), widths, (SCHEDULER, ITERATION), take)]

    def _note_dead(self, poll: BatchPoll, row: int, checked: Sequence[bytes]) -> None:
        """Note which of the schedulers that were checked are dead, and that others are not."""
        found = {}
        dead = self._found[row].dead()
        for scheduler in checked:
            due = dead.get(scheduler)
            if due is None:
                continue
            text = id_text(scheduler)
            proof = f"its next job, repeat:{text}:{due:.0f}, does not exist"
            found[scheduler] = StuckJob(StuckKind.SCHEDULER, text, due / 1000, proof)
        cleared = set(self.suspects[row].ids) - dead.keys()
        self.note_look(poll, row, found, cleared)

    def fill(self, poll: BatchPoll) -> Mapping[Column[Any], Sequence[Any]]:
        for row, suspects in enumerate(self.suspects):
            if suspects is not NO_SUSPECTS and row not in self._totals:
                self.clear(row)
        for row, listed in enumerate(self._listed):
            if listed is not None and (listed.overdue or row in self._totals):
                self._listed[row] = FirstSchedulers(listed.scored, self._states(poll, row, listed))
        seconds, counts = self._overdue.seconds, self._overdue.counts
        for row, total in self._totals.items():
            number = None if total is None else self._found[row].number_late(total)
            first = self._found[row].first_late_ms()
            counts[row] = number
            if total is not None and first is not None:
                seconds[row] = (poll.now_ms - first) / 1000
            else:
                seconds[row] = None if number is None else 0
        return {
            SCHEDULERS: list(self._numbers),
            FIRST_SCHEDULERS: list(self._listed),
            SCHEDULERS_OVERDUE: counts,
            SCHEDULERS_OVERDUE_SECONDS: seconds,
            **super().fill(poll),
        }

    def _states(
        self, poll: BatchPoll, row: int, listed: FirstSchedulers
    ) -> dict[bytes, SchedulerState]:
        """The states of those whose time has passed."""
        found, suspects, states = self._found[row], self.suspects[row], {}
        for scheduler, score in zip(listed.scored[::2], listed.scored[1::2], strict=True):
            due = finite(score)
            if due is None:
                states[scheduler] = SchedulerState.UNKNOWN
            elif due < poll.now_ms - _GRACE_MS:
                is_dead = suspects.is_stuck(scheduler)
                states[scheduler] = (
                    SchedulerState.DEAD if is_dead else found.state(scheduler, score)
                )
        return states


class _Overdue:
    """The number of overdue entries, and seconds by which the first is overdue; 0 within grace."""

    def __init__(self, seconds: list[float | None], counts: list[int | None]) -> None:
        self.seconds = seconds
        self.counts = counts

    def question(self, poll: BatchPoll, command: Command, before: int) -> Question:
        """Asks for the number of entries with a score up to `before`, if any is overdue."""

        def take(rows: Sequence[int], replies: list[Reply]) -> None:
            for row, count in zip(rows, replies, strict=True):
                self.counts[row] = count

        asked = poll.where(self.seconds)
        packed = [command.on(poll.queues[row].key, more=(before,)) for row in asked]
        return Question(asked, b"".join(packed), [1] * len(asked), (int,), take)


def _overdue(
    poll: BatchPoll,
    counts: Sequence[Reply],
    due: Sequence[float | None],
    firsts: Sequence[Reply],
) -> _Overdue:
    latest = poll.now_ms - _GRACE_MS
    seconds: list[float | None] = [
        (poll.now_ms - since) / 1000
        if since is not None and since < latest and count
        else 0
        if count == 0 or first is not None
        else None
        for count, since, first in zip(counts, due, firsts, strict=True)
    ]
    return _Overdue(seconds, [None if each is None else 0 for each in seconds])


def _first_score(reply: Reply) -> float | None:
    """The score of a sorted set's first member; None if there is none, or it is not finite."""
    return finite(reply[1]) if reply else None
