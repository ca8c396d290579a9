"""Counts the unfinished jobs of a queue together with the end of its event stream.

The counts stand between XLEN and XINFO. If both report the same length, no event was written in
between: every change of a job writes one in the same script. So the counts are those of the moment
at which the stream ended there, without a transaction:

    XLEN bull:mail:events                    4711
    LLEN wait, paused, active                3 0 1
    ZCARD delayed, prioritized, …            0 0 0
    XINFO STREAM bull:mail:events            length 4711, last-generated-id 17…-0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from exporter.bullmq import is_marker, jobs_in_list
from exporter.collectors.contract import Context
from exporter.collectors.events.balance import SCHEDULED
from exporter.collectors.events.ledger import Count
from exporter.collectors.events.streams import Stream, StreamEnd, id_ms
from exporter.connection import Command, Reply, ReplyError, is_string_list, unexpected

_COST: Final = "bullmq_queue_jobs_unaccounted"
_LENGTH: Final = Command("XLEN", "events", cost=_COST)
_LISTS: Final = ("wait", "paused", "active")
_SETS: Final = ("delayed", "prioritized", "waiting-children")
_COUNTS: Final = (
    _LENGTH,
    *(Command("LLEN", name, cost=_COST) for name in _LISTS),
    *(Command("ZCARD", name, cost=_COST) for name in _SETS),
)
# the ends of the lists, which may be markers of BullMQ 3 and 4
_ENDS: Final = tuple(
    Command("LINDEX", name, (end,), bytes, _COST) for name in _LISTS for end in (0, -1)
)
_GROUPS: Final = Command("ZCARD", "groups", cost=_COST)
_DETAILS: Final = (*_ENDS, _GROUPS)
_MAX_ACTIVE: Final = 100
# jobs that stay for long: the least urgent one, and the one that is due last; then the active ones
_JOBS: Final = (
    *(Command("ZRANGE", name, (-1, -1), list, _COST) for name in ("prioritized", "delayed")),
    Command("LRANGE", "active", (0, _MAX_ACTIVE - 1), list, _COST),
)
COUNT_COMMANDS: Final = (*_COUNTS, *_DETAILS, *_JOBS)


class _Form(NamedTuple):
    """Commands that are sent together."""

    commands: tuple[Command, ...]
    limit: int
    """Largest plausible replies together, in bytes."""


_SHORT, _DETAILED, _FULL = (
    _Form(commands, sum([command.limit for command in commands]))
    for commands in (_COUNTS, (*_COUNTS, *_DETAILS), COUNT_COMMANDS)
)
_NUMBERS: Final = {int}


class Counting:
    """The commands that count the jobs of one stream's queue, and what their replies say."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        ledger = stream.ledger
        form = _SHORT
        if not ledger.has_base:
            form = _FULL
        elif ledger.in_doubt or stream.may_have_markers:
            form = _DETAILED
        self.width = len(form.commands)
        """Number of commands."""
        self.limit = form.limit
        packed = stream.packed.get(self.width)
        if packed is None:
            packed = b"".join([command.on(stream.queue.key) for command in form.commands])
            if ledger.has_base and not ledger.in_doubt:
                stream.packed[self.width] = packed
        self.packed = packed
        self.replies: Sequence[Reply] = ()
        """Filled by the code that sends the commands."""

    def count(self, context: Context, end: StreamEnd) -> Count | None:
        """The count at `end`; None if something happened in between, or it cannot be known.

        Raises `RedisFailure` if a reply has another type than it must have.
        """
        replies = self.replies
        if len(replies) == len(_COUNTS) and {*map(type, replies)} == _NUMBERS:
            length, *sizes = replies  # nearly always
            jobs: int | None = sum(sizes)
        else:
            length, jobs = replies[0], self._jobs(context)
        if length != end.length or jobs is None or not self._is_base():
            return None
        return Count(jobs, length, id_ms(end.last), context.unfinished.evicted_keys)

    def _is_base(self) -> bool:
        """Whether the count may be compared, or has all that the first one needs: the ledger may
        have been restarted after the commands were chosen."""
        return self._stream.ledger.has_base or self.width == len(_FULL.commands)

    def _jobs(self, context: Context) -> int | None:
        """The number of jobs, if not all replies are numbers."""
        ledger, replies = self._stream.ledger, self.replies
        refused = next((reply for reply in replies if isinstance(reply, ReplyError)), None)
        if refused is not None:
            context.errors.add(refused, f"counts of {self._stream.queue.key[:200]!r}")
            ledger.stop()
            return None
        if {*map(type, replies[: len(_COUNTS)])} != _NUMBERS or self.width == len(_COUNTS):
            raise unexpected("LLEN or ZCARD")
        sizes = replies[1 : len(_COUNTS)]
        *ends, groups = replies[len(_COUNTS) :][: len(_DETAILS)]
        if groups != 0:  # BullMQ Pro keeps jobs of groups elsewhere
            ledger.stop()
            return None
        sizes = [*map(jobs_in_list, sizes[:3], ends[::2], ends[1::2]), *sizes[3:]]
        if self.width == len(_FULL.commands):
            prioritized, delayed, active = map(_members, replies[-len(_JOBS) :])
            _note_waiting(self._stream, (*ends[:4], *prioritized), delayed)
            _note_active(self._stream, active, sizes[2])
        jobs: int = sum(sizes)
        return jobs


def _members(reply: Reply) -> list[bytes]:
    if type(reply) is not list or not is_string_list(reply):
        raise unexpected("ZRANGE or LRANGE")
    return reply


def _note_waiting(stream: Stream, ready: Sequence[Reply], delayed: Sequence[bytes]) -> None:
    """Note some jobs that wait since before events are read.

    Without those of schedulers, which may be replaced without an event.
    """
    balance = stream.aggregator.balance
    for job in ready:
        if type(job) is bytes and not (is_marker(job) or job.startswith(SCHEDULED)):
            balance.before[job] = False
    for job in delayed:
        if not job.startswith(SCHEDULED):
            balance.note_delayed(job, 0)


def _note_active(stream: Stream, jobs: Sequence[bytes], number: int) -> None:
    """Note the active jobs, and how many there are besides."""
    balance = stream.aggregator.balance
    known = [job for job in jobs if not is_marker(job)]
    balance.before |= dict.fromkeys(known, True)
    balance.forgotten += max(0, number - len(known))
