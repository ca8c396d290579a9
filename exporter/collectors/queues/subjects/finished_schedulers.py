"""Which overdue schedulers are finished, and not late, and which are dead: neither runs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from exporter.bullmq import time_ms
from exporter.collectors.queues.poll import BatchPoll
from exporter.collectors.queues.questions import check_fields
from exporter.connection import KEY, Command, Reply
from exporter.parsing import finite
from exporter.state.schedulers import SchedulerState

MAX_CHECKS: Final = 10
"""Maximum number of schedulers of a queue that are looked at in one poll."""
_MAX_TRACKED: Final = 1000
"""Maximum number of overdue schedulers of a queue that are tracked; further ones are late."""

_COST: Final = "overdue schedulers"
OVERDUE: Final = Command("ZRANGEBYSCORE", "repeat", ("-inf",), list, _COST, probe=(KEY, 0, 0))
SCHEDULER: Final = Command(
    "HMGET", "", ("limit", "ic", "endDate", "name"), list, _COST, microseconds=2.9
)
"""Sent with the key of a scheduler."""
ITERATION: Final = Command("HMGET", "", ("timestamp", "processedOn"), list, _COST, microseconds=2.2)
"""Sent with the key of the job that is the scheduler's last iteration."""


class Checked(NamedTuple):
    """What is known of an overdue scheduler."""

    score: bytes
    """Its time, as in the reply: with another one, it must be checked again."""
    finished: bool
    at: float
    """Monotonic time of the check."""
    dead: bool = False
    """Whether its next job does not exist, although it is not finished."""


class OverdueSchedulers:
    """The overdue schedulers of one queue, in the order of their times. Immutable."""

    def __init__(self, checked: Mapping[bytes, Checked]) -> None:
        self._checked = checked

    @property
    def limit(self) -> int:
        """How many overdue schedulers to read."""
        return min(_MAX_TRACKED, len(self._checked) + MAX_CHECKS)

    def at(self, reply: Sequence[bytes]) -> OverdueSchedulers:
        """The schedulers in a reply to `OVERDUE`; those that have moved on are forgotten."""
        pairs = zip(reply[::2], reply[1::2], strict=True)
        unknown = Checked(b"", finished=False, at=float("-inf"))
        found = {}
        for scheduler, score in pairs:
            checked = self._checked.get(scheduler, unknown)
            same = checked.score == score
            found[scheduler] = checked if same else Checked(score, finished=False, at=unknown.at)
        return OverdueSchedulers(found)

    def to_check(self, before: float) -> list[bytes]:
        """The schedulers to look at: those that were not for longest, nor since that monotonic
        time. A finished one stays so."""
        late = [
            name
            for name, checked in self._checked.items()
            if not checked.finished and checked.at <= before
        ]
        return sorted(late, key=lambda name: self._checked[name].at)[:MAX_CHECKS]

    def commands(self, key: bytes, scheduler: bytes) -> bytes:
        """The packed commands that look at a scheduler of the queue with this key."""
        time = finite(self._checked[scheduler].score) or 0
        name = key + b"repeat:" + scheduler
        return SCHEDULER.on(name) + ITERATION.on(b"%s:%d" % (name, time))

    def with_replies(
        self, poll: BatchPoll, schedulers: Sequence[bytes], replies: Sequence[Reply]
    ) -> OverdueSchedulers:
        """With the replies to the commands of these schedulers; errors change nothing."""
        check_fields(replies[::2], 4)
        check_fields(replies[1::2], 2)
        found = dict(self._checked)
        for name, settings, iteration in zip(schedulers, replies[::2], replies[1::2], strict=True):
            if settings is not None and iteration is not None:
                finished = _is_finished(settings[:3], iteration, poll.now_ms)
                # only schedulers of BullMQ 5.16 and newer have a hash, and this job ID
                dead = not finished and settings[3] is not None and iteration == [None, None]
                found[name] = Checked(found[name].score, finished, poll.now, dead)
        return OverdueSchedulers(found)

    def dead(self) -> dict[bytes, float]:
        """The dead schedulers, with the time at which they were due, in Unix ms."""
        return {
            name: finite(checked.score) or 0.0
            for name, checked in self._checked.items()
            if checked.dead
        }

    def state(self, scheduler: bytes, score: bytes) -> SchedulerState:
        """Whether an overdue scheduler is late or finished; unknown until it was looked at."""
        checked = self._checked.get(scheduler)
        if checked is None or checked.score != score or checked.at == float("-inf"):
            return SchedulerState.UNKNOWN
        return SchedulerState.FINISHED if checked.finished else SchedulerState.LATE

    def number_late(self, total: int) -> int | None:
        """How many of `total` overdue schedulers are late; None until all were looked at."""
        checks = self._checked.values()
        known = sum(checked.at > float("-inf") for checked in checks)
        if known < min(total, _MAX_TRACKED):
            return None
        return max(0, total - sum(checked.finished for checked in checks))

    def first_late_ms(self) -> float | None:
        """The time of the first scheduler that is known to be late, in Unix ms; None if none is."""
        for checked in self._checked.values():
            if not checked.finished and checked.at > float("-inf"):
                return finite(checked.score)
        return None


def _is_finished(settings: Sequence[Reply], iteration: Sequence[Reply], now_ms: float) -> bool:
    """Whether the limit is reached or the end is past, and the last iteration was started."""
    limit, count, end = (time_ms(value) for value in settings)
    waits = iteration[0] is not None and iteration[1] is None
    reached = limit is not None and count is not None and count >= limit > 0
    return (reached or (end is not None and end <= now_ms)) and not waits
